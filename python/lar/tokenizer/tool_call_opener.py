"""The opener of a tool call: the agent's text before the tool's name."""

from lar.tokenizer.spans import speaker
from lar.tokenizer.tokenizer import Tokenizer
from lar.tokenizer.tools import tools_as_text

# A private-use character as the name, which no template writes.
_NAME = "\ue000"


def tool_call_opener(tokenizer: Tokenizer) -> str:
    """A call's text before the tool's name; for Qwen `<tool_call>`, a newline and `{"name": "`.

    Empty where there is no chat template, or the name cannot be found in its calls.
    """
    if tokenizer.chat_template is None:
        return ""
    _, dialect = speaker(tokenizer)
    if dialect.writes_calls:
        return (dialect.call_edges or ("", ""))[0].strip()
    call = {"id": "1", "type": "function", "function": {"name": _NAME, "arguments": {}}}
    [written] = tools_as_text([{"role": "assistant", "content": "", "tool_calls": [call]}], None)
    return str(written["content"]).partition(_NAME)[0].strip()
