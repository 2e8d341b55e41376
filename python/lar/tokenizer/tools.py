"""Tool calls as text, in the format of Qwen's templates, for templates without tool calls."""

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

from lar.tokenizer.chat_template import TemplateMessage
from lar.trajectories.schema import Tool

# The wording of Qwen3's and Hermes' chat templates, which most open models were trained on.
_PREAMBLE = (
    "# Tools\n\nYou may call one or more functions to assist with the user query.\n\n"
    "You are provided with function signatures within <tools></tools> XML tags:\n<tools>"
)
_INSTRUCTION = (
    "\n</tools>\n\nFor each function call, return a json object with function name and arguments within "
    "<tool_call></tool_call> XML tags:\n<tool_call>\n"
    '{"name": <function-name>, "arguments": <args-json-object>}\n</tool_call>'
)


class CallEdges(NamedTuple):
    """The agent's text around the name of a call and the key of its arguments, `{key: 1}`.

    openers: before the name, of a turn's first call and of a later one. middle: from the name to the key.
    closer: from the key to the end of a turn with one call.
    """

    openers: tuple[str, ...]
    middle: str
    closer: str


CALL_EDGES = CallEdges(('<tool_call>\n{"name": "',), '", "arguments": {"', '": 1}}\n</tool_call>')


def tools_as_text(messages: Sequence[TemplateMessage], tools: list[Tool] | None) -> list[TemplateMessage]:
    """Return the conversation with tool calls, tool messages and tools moved into the text.

    Tools go to the system message (which is added if missing), calls to the end of the assistant's content,
    and each run of tool results into one user message.
    """
    plain = results_as_text([_calls_as_text(message) for message in messages])
    return _tools_in_system(plain, tools) if tools else plain


def results_as_text(messages: Sequence[TemplateMessage]) -> list[TemplateMessage]:
    """Return the conversation with each run of tool messages as one user message."""
    plain: list[TemplateMessage] = []
    previous = None
    for message in messages:
        if message["role"] != "tool":
            plain.append(message)
        else:
            result = f"<tool_response>\n{message['content']}\n</tool_response>"
            if previous == "tool":
                plain[-1] = {"role": "user", "content": f"{plain[-1]['content']}\n{result}"}
            else:
                plain.append({"role": "user", "content": result})
        previous = message["role"]
    return plain


def _calls_as_text(message: TemplateMessage) -> TemplateMessage:
    calls = message.get("tool_calls")
    if not calls:
        return message
    written = [_call_as_text(call["function"]) for call in calls]
    content = "\n".join([message["content"], *written] if message["content"] else written)
    return {**{key: value for key, value in message.items() if key != "tool_calls"}, "content": content}


def _call_as_text(function: dict[str, Any]) -> str:
    arguments = function["arguments"]
    text = arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
    return f'<tool_call>\n{{"name": "{function["name"]}", "arguments": {text}}}\n</tool_call>'


def _tools_in_system(messages: list[TemplateMessage], tools: list[Tool]) -> list[TemplateMessage]:
    listed = "".join("\n" + json.dumps(tool, ensure_ascii=False) for tool in tools)
    text = f"{_PREAMBLE}{listed}{_INSTRUCTION}"
    if messages and messages[0]["role"] == "system":
        return [{**messages[0], "content": f"{messages[0]['content']}\n\n{text}"}, *messages[1:]]
    return [{"role": "system", "content": text}, *messages]
