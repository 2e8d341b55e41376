"""Conversations as the model's chat template writes them, with the agent's own text told apart.

`render` is the way in. Text of special tokens inside a message (`<|im_end|>` in a tool's output) stays as it
is and is later encoded as that special token: transformers, vLLM and llama-server do the same when they serve
the model, and a corpus shows what the model will see. Whoever does not want that cleans the logs.
"""

from lar.chat.spans import Span, render
from lar.chat.template import ChatTemplate, TemplateRefusalError

__all__ = ["ChatTemplate", "Span", "TemplateRefusalError", "render"]
