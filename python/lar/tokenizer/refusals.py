"""What a chat template refuses although logs contain it, and conversations without it."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from lar.tokenizer.chat_template import ChatTemplate, TemplateMessage
from lar.tokenizer.probes import ANSWER, CALL_ID, NAME, USER, call, rendered, result
from lar.trajectories.schema import Tool

_SYSTEM: TemplateMessage = {"role": "system", "content": "Be brief."}
_LONG_ID = "call_0123456789"
_ID = re.compile(r"[A-Za-z0-9]{9}")


@dataclass(frozen=True, slots=True)
class Refusals:
    """The forms of a conversation that a template refuses, each for another that it accepts."""

    system: bool  # a system message (Gemma 2)
    call_ids: bool  # ids of calls other than nine letters or digits (Mistral)
    bare_tools: bool  # tools without a description (gpt-oss)
    thought_beside_text: bool  # both reasoning and text beside a call (gpt-oss)

    @classmethod
    def of(cls, template: ChatTemplate, arguments: Any) -> "Refusals":
        """What `template` refuses; `arguments` are those of a call in the form that it takes."""
        function = {"name": NAME, "arguments": arguments}
        step = (USER, call(function), result(), ANSWER)
        long = (USER, call(function, identifier=_LONG_ID), result(_LONG_ID), ANSWER)
        beside = {"content": "text"}
        bare: Tool = {"type": "function", "function": {"name": NAME, "parameters": {"type": "object"}}}

        def refuses(
            refused: Sequence[TemplateMessage],
            accepted: Sequence[TemplateMessage],
            tools: tuple[list[Tool] | None, list[Tool] | None] = (None, None),
        ) -> bool:
            return (
                rendered(template, *refused, tools=tools[0]) is None
                and rendered(template, *accepted, tools=tools[1]) is not None
            )

        return cls(
            system=refuses((_SYSTEM, USER, ANSWER), (USER, ANSWER)),
            call_ids=refuses(long, step),
            bare_tools=refuses((USER,), (USER,), ([bare], [_described(bare)])),
            thought_beside_text=refuses(
                (USER, call(function, **beside, reasoning_content="thought"), *step[2:]),
                (USER, call(function, **beside), *step[2:]),
            ),
        )

    def without(
        self, messages: Sequence[TemplateMessage], tools: list[Tool] | None
    ) -> tuple[list[TemplateMessage], list[Tool] | None]:
        """Return messages and tools in the forms that the template accepts.

        A system message begins the first user's message, as in Gemma 3's template. Ids of calls are cut to
        their last nine letters and digits, as in vLLM. Tools get an empty description. Reasoning beside text
        and a call is left out.
        """
        if self.system:
            messages = _system_in_user(messages)
        if self.call_ids:
            messages = [_with_short_ids(message) for message in messages]
        if self.bare_tools and tools:
            tools = [_described(tool) for tool in tools]
        if self.thought_beside_text:
            messages = [_without_thought(message) for message in messages]
        return list(messages), tools


def _system_in_user(messages: Sequence[TemplateMessage]) -> Sequence[TemplateMessage]:
    if not messages or messages[0]["role"] != "system":
        return messages
    system, *rest = messages
    if not rest or rest[0]["role"] != "user":
        return [{"role": "user", "content": system["content"]}, *rest]
    return [{**rest[0], "content": f"{system['content']}\n\n{rest[0]['content']}"}, *rest[1:]]


def _with_short_ids(message: TemplateMessage) -> TemplateMessage:
    if calls := message.get("tool_calls"):
        return {**message, "tool_calls": [{**call, "id": _short(call.get("id"))} for call in calls]}
    if message["role"] == "tool":
        return {**message, "tool_call_id": _short(message.get("tool_call_id"))}
    return message


def _short(identifier: str | None) -> str:
    if identifier and _ID.fullmatch(identifier):
        return identifier
    kept = re.sub(r"[^A-Za-z0-9]", "", identifier or "")
    return kept[-len(CALL_ID) :].rjust(len(CALL_ID), "0")


def _described(tool: Tool) -> Tool:
    function = tool.get("function")
    return {**tool, "function": {"description": "", **function}} if isinstance(function, dict) else tool


def _without_thought(message: TemplateMessage) -> TemplateMessage:
    if not (message.get("tool_calls") and message["content"]):
        return message
    return {key: value for key, value in message.items() if key != "reasoning_content"}
