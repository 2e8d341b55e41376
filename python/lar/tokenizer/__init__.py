"""Text <-> base ids, and conversations as the model's chat template renders them.

`Tokenizer` is a model's tokenizer without transformers. `render` gives a conversation's text in spans, with
the agent's own text told apart. Text of special tokens inside a message (`<|im_end|>` in a tool's output)
stays as it is and is later encoded as that special token: transformers, vLLM and llama-server do the same
when they serve the model, and a corpus shows what the model will see. If you do not want that, clean the logs
first.
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
