"""Small conversations with which the features of a chat template are found."""

from itertools import product
from typing import Any

from lar.tokenizer.chat_template import ChatTemplate, TemplateMessage, TemplateRefusalError
from lar.trajectories.schema import Tool

# Words that no template contains.
PROBE = "larprobe"
NAME = f"{PROBE}name"
KEY = f"{PROBE}key"
CALL_ID = "larprobe0"  # Mistral's templates require nine letters or digits
SYSTEM: TemplateMessage = {"role": "system", "content": f"{PROBE}system"}
USER: TemplateMessage = {"role": "user", "content": f"{PROBE}question"}
AGAIN: TemplateMessage = {"role": "user", "content": f"{PROBE}again"}
ANSWER: TemplateMessage = {"role": "assistant", "content": f"{PROBE}answer"}
TOOL: Tool = {
    "type": "function",
    "function": {
        "name": f"{PROBE}tool",
        "description": "A tool.",
        "parameters": {"type": "object", "properties": {}, "required": []},
    },
}


def call(*functions: dict[str, Any], identifier: str = CALL_ID, **more: str) -> TemplateMessage:
    """A turn that calls `functions`."""
    calls = [{"id": identifier, "type": "function", "function": function} for function in functions]
    return {"role": "assistant", "content": "", "tool_calls": calls, **more}


def result(identifier: str = CALL_ID) -> TemplateMessage:
    """The result of a call to `NAME`."""
    return {"role": "tool", "content": f"{PROBE}result", "name": NAME, "tool_call_id": identifier}


def rendered(
    template: ChatTemplate,
    *messages: TemplateMessage,
    tools: list[Tool] | None = None,
    prompt: bool = False,
) -> str | None:
    """The messages as text; None where the template refuses them.

    Some templates need a system message, or are for conversations with tools alone. So what is refused is
    tried with these, too.
    """
    leads: list[list[TemplateMessage]] = [[]] if messages[0]["role"] == "system" else [[], [SYSTEM]]
    for lead, offered in product(leads, (tools, tools or [TOOL])):
        try:
            return template.render([*lead, *messages], offered, add_generation_prompt=prompt)
        except TemplateRefusalError:
            pass
    return None
