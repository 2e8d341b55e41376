"""Text <-> base ids, and conversations as the model's chat template renders them.

`Tokenizer` is a model's tokenizer without transformers. `render` returns a conversation's text as spans, each
written by the agent or by its environment. The text of a special token inside a message (`<|im_end|>` in a
tool's output) is encoded as that special token. transformers, vLLM and llama-server do the same when they
serve the model, so the corpus has the model's real input. To avoid it, clean the logs first.
"""

from lar.tokenizer.chat_template import ChatTemplate, TemplateMessage, TemplateRefusalError
from lar.tokenizer.spans import Span, render
from lar.tokenizer.tokenizer import Tokenizer

__all__ = [
    "ChatTemplate",
    "Span",
    "TemplateMessage",
    "TemplateRefusalError",
    "Tokenizer",
    "render",
]
