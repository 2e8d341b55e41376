"""The features of a chat template, found by rendering: tool calls, tool results, borders of a turn."""

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from lar.tokenizer.chat_template import ChatTemplate, TemplateMessage, TemplateRefusalError
from lar.tokenizer.tools import results_as_text, tools_as_text
from lar.trajectories.schema import Tool

# Words that no template contains.
_PROBE = "larprobe"
_USER: TemplateMessage = {"role": "user", "content": f"{_PROBE}question"}
_ANSWER: TemplateMessage = {"role": "assistant", "content": f"{_PROBE}answer"}
_ARGUMENTS = {f"{_PROBE}key": 1}
_CALL_ID = "larprobe0"  # Mistral's templates require nine letters or digits
_RESULT: TemplateMessage = {
    "role": "tool",
    "content": f"{_PROBE}result",
    "name": f"{_PROBE}name",
    "tool_call_id": _CALL_ID,
}


@dataclass(frozen=True, slots=True)
class Dialect:
    """The form of conversation that a chat template accepts, and its borders of the agent's turns."""

    writes_calls: bool  # `tool_calls` of a message appear in the text
    writes_results: bool  # messages of the role tool appear in the text
    arguments_as_text: bool  # a call's arguments may be the JSON text that the agent wrote
    lead: str  # white space before the agent's text that a generation prompt lacks
    turn_end: re.Pattern[str]  # the end of a turn, directly after the agent's text
    closing: str  # the text after the agent's text at the end of a conversation
    special_at_end: re.Pattern[str]  # a special token at the end of a text, and white space after it
    call_edges: tuple[str, str] | None  # the text around a tool's name in a call without arguments

    @classmethod
    def of(cls, template: ChatTemplate, special_tokens: Iterable[str], eos_token: str | None) -> "Dialect":
        """The dialect of a template, from rendering a few small conversations."""
        as_text = _writes_call(template, json.dumps(_ARGUMENTS))
        closing = _closing(template)
        specials = sorted(special_tokens, key=len, reverse=True)
        found = cls(
            writes_calls=as_text or _writes_call(template, _ARGUMENTS),
            writes_results=_writes_result(template, json.dumps(_ARGUMENTS) if as_text else _ARGUMENTS),
            arguments_as_text=as_text,
            lead=_lead(template),
            turn_end=_turn_end(template, closing, specials, eos_token),
            closing=closing,
            special_at_end=re.compile(rf"(?P<token>{_any_of(specials)})\s*\Z"),
            call_edges=None,
        )
        return replace(found, call_edges=_call_edges(template, found)) if found.writes_calls else found

    def call_to(self, name: str) -> dict[str, Any]:
        """Return the function of a call to `name` without arguments."""
        return {"name": name, "arguments": "{}" if self.arguments_as_text else {}}

    def adjust(
        self, messages: Sequence[TemplateMessage], tools: list[Tool] | None
    ) -> tuple[list[TemplateMessage], list[Tool] | None]:
        """Return messages and tools in a form that this template renders completely.

        If the template does not write tool calls, then calls, results and tools are put into the text. If it
        writes calls but not `tools`, the tools are left out, as engines do.
        """
        if not self.writes_calls and _uses_tools(messages, tools):
            return tools_as_text(messages, tools), None
        if not self.writes_results:
            messages = results_as_text(messages)
        if not self.arguments_as_text:
            messages = [_with_parsed_arguments(message) for message in messages]
        return list(messages), tools

    def without_closing(self, text: str) -> str:
        """Return `text` without the template's closing text; a token that ends the turn may remain.

        Some templates end a turn with a tool call by its own token (Llama 3.1's `<|eom_id|>`); then the text
        after the last special token is cut.
        """
        if self.closing and text.endswith(self.closing):
            return text.removesuffix(self.closing)
        special = self.special_at_end.search(text)
        return text[: special.end("token")] if special else text


def _uses_tools(messages: Sequence[TemplateMessage], tools: list[Tool] | None) -> bool:
    return bool(tools) or any(message.get("tool_calls") or message["role"] == "tool" for message in messages)


def _with_parsed_arguments(message: TemplateMessage) -> TemplateMessage:
    calls = message.get("tool_calls")
    if not calls:
        return message
    return {**message, "tool_calls": [_with_parsed(call) for call in calls]}


def _with_parsed(call: dict[str, Any]) -> dict[str, Any]:
    """Return the call with its arguments as an object; arguments that are no JSON object stay text."""
    function = call["function"]
    try:
        arguments = json.loads(function["arguments"])
    except (TypeError, ValueError):
        return call
    return {**call, "function": {**function, "arguments": arguments}} if isinstance(arguments, dict) else call


def _try(template: ChatTemplate, *messages: TemplateMessage, prompt: bool = False) -> str:
    """Render the messages; empty where the template refuses them."""
    try:
        return template.render(messages, add_generation_prompt=prompt)
    except TemplateRefusalError:
        return ""


def _call(arguments: Any) -> TemplateMessage:
    return _call_message({"name": f"{_PROBE}name", "arguments": arguments})


def _call_message(function: dict[str, Any]) -> TemplateMessage:
    call = {"id": _CALL_ID, "type": "function", "function": function}
    return {"role": "assistant", "content": "", "tool_calls": [call]}


def _writes_call(template: ChatTemplate, arguments: Any) -> bool:
    """Whether the template writes a call with these arguments, and not as a JSON string within JSON."""
    text = _try(template, _USER, _call(arguments), _RESULT, _ANSWER)
    escaped = json.dumps(json.dumps(_ARGUMENTS))[1:-1]
    return f"{_PROBE}name" in text and f"{_PROBE}key" in text and escaped not in text


def _writes_result(template: ChatTemplate, arguments: Any) -> bool:
    return _RESULT["content"] in _try(template, _USER, _call(arguments), _RESULT, _ANSWER)


def _call_edges(template: ChatTemplate, dialect: Dialect) -> tuple[str, str] | None:
    """Return the agent's text before and after the name in a call; None where it is ambiguous.

    The turn begins at the same place as an answer, and ends with the special token that ends the text.
    """
    header, found, _ = _try(template, _USER, _ANSWER).partition(_ANSWER["content"])
    text = _try(template, _USER, _call_message(dialect.call_to(f"{_PROBE}name")))
    start = header.removesuffix(dialect.lead)
    end = dialect.special_at_end.search(text)
    if not (found and end and text.startswith(start)):
        return None
    before, name, after = text[len(start) : end.end("token")].partition(f"{_PROBE}name")
    return (before, after) if name and name not in after else None


def _closing(template: ChatTemplate) -> str:
    return _try(template, _USER, _ANSWER).partition(_ANSWER["content"])[2]


def _lead(template: ChatTemplate) -> str:
    """Return the white space between the end of a generation prompt and the agent's text.

    The Llama 2 family prompts with `[/INST]` and writes `[/INST] text`, so the agent generates the space.
    """
    header, found, _ = _try(template, _USER, _ANSWER).partition(_ANSWER["content"])
    prompt = _try(template, _USER, prompt=True)
    lead = header.removeprefix(prompt)
    return lead if found and prompt and header.startswith(prompt) and lead.isspace() else ""


def _turn_end(
    template: ChatTemplate, closing: str, specials: list[str], eos_token: str | None
) -> re.Pattern[str]:
    """Return a pattern of the token that ends a turn, with the template's white space before it.

    This is the special token after an answer at the end of a conversation. Within a conversation it is only
    the end-of-sequence token, because another one may begin the next message.
    """
    last = re.match(rf"\s*({_any_of(specials)})", closing)
    within = _try(template, _USER, _ANSWER, _USER).partition(_ANSWER["content"])[2]
    ends = [last[1]] if last else []
    if eos_token and within.lstrip().startswith(eos_token):
        ends.append(eos_token)
    return re.compile(rf"\s*(?:{_any_of(ends)})")


def _any_of(words: list[str]) -> str:
    """Return the source of a pattern that matches any of `words`; without words it matches nothing."""
    return "|".join(map(re.escape, words)) or "(?!)"
