"""The opener of a tool call: the agent's text before the tool's name."""

from lar.tokenizer.spans import speaker
from lar.tokenizer.tokenizer import Tokenizer


def tool_call_opener(tokenizer: Tokenizer) -> str:
    """A call's text before the tool's name; for Qwen `<tool_call>`, a newline and `{"name": "`.

    Empty where there is no chat template, or the name cannot be found in its calls.
    """
    if tokenizer.template_for(tools=True) is None:
        return ""
    _, dialect = speaker(tokenizer, tools=True)
    return dialect.call_edges.openers[0].strip() if dialect.call_edges else ""
