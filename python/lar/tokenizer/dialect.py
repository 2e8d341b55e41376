"""The features of a chat template, found by rendering: tool calls, tool results, borders of a turn."""

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import Any

from lar.tokenizer.arguments import parsed_arguments, with_arguments
from lar.tokenizer.chat_template import ChatTemplate, TemplateMessage
from lar.tokenizer.openings import Openings, added
from lar.tokenizer.probes import AGAIN, ANSWER, KEY, NAME, SYSTEM, TOOL, USER, call, rendered, result
from lar.tokenizer.refusals import Refusals
from lar.tokenizer.tokenizer import Tokenizer
from lar.tokenizer.tools import CALL_EDGES, CallEdges, results_as_text, tools_as_text
from lar.trajectories.schema import Tool

_ARGUMENTS = {KEY: 1}
_SECOND = f"{NAME}2"


@dataclass(frozen=True, slots=True)
class Dialect:
    """The form of conversation that a chat template accepts, and its borders of the agent's turns."""

    writes_calls: bool  # `tool_calls` of a message appear in the text
    writes_text: bool  # so does the content beside them, at least at the end of a conversation
    writes_results: bool  # messages of the role tool appear in the text
    arguments_as_text: bool  # a call's arguments may be the JSON text that the agent wrote
    moves_text: bool  # what a prompt has before its end may stand elsewhere once the user speaks again
    refusals: Refusals
    openings: Openings
    turn_end: re.Pattern[str]  # the end of a turn, directly after the agent's text
    closing: str  # the text after the agent's text at the end of a conversation
    special_at_end: re.Pattern[str]  # a special token at the end of a text, and white space after it
    call_edges: CallEdges | None  # None where the template's calls are ambiguous

    @classmethod
    def of(cls, template: ChatTemplate, tokenizer: Tokenizer) -> "Dialect":
        """The dialect of a tokenizer's template, from rendering a few small conversations."""
        as_text = _writes_call(template, json.dumps(_ARGUMENTS))
        arguments = json.dumps(_ARGUMENTS) if as_text else _ARGUMENTS
        closing = _closing(template)
        added = tokenizer.backend.get_added_tokens_decoder().values()
        specials = _longest_first(token.content for token in added if token.special)
        eos_token = tokenizer.special_tokens.get("eos_token")
        openings = Openings.of(template, {"name": NAME, "arguments": arguments})
        found = cls(
            writes_calls=as_text or _writes_call(template, _ARGUMENTS),
            writes_text=_writes_text(template, arguments),
            writes_results=_writes_result(template, arguments),
            arguments_as_text=as_text,
            moves_text=_moves_text(template),
            refusals=Refusals.of(template, arguments),
            openings=openings,
            turn_end=_turn_end(template, closing, specials, eos_token),
            closing=closing,
            special_at_end=re.compile(rf"(?P<token>{_any_of(specials)})\s*\Z"),
            call_edges=CALL_EDGES,
        )
        if not found.writes_calls:
            return found
        edges = _call_edges(template, found, _longest_first(token.content for token in added))
        return replace(found, call_edges=edges)

    def call_to(self, name: str, key: str) -> dict[str, Any]:
        """Return the function of a call to `name` with the arguments {key: 1}."""
        arguments = {key: 1}
        return {"name": name, "arguments": json.dumps(arguments) if self.arguments_as_text else arguments}

    def adjust(
        self, messages: Sequence[TemplateMessage], tools: list[Tool] | None
    ) -> tuple[list[TemplateMessage], list[Tool] | None]:
        """Return messages and tools in a form that this template renders completely.

        If the template does not write tool calls, then calls, results and tools are put into the text. If it
        writes calls but not `tools`, the tools are left out, as engines do.
        """
        messages = [with_arguments(message) for message in messages]
        if not self.writes_calls and _uses_tools(messages, tools):
            messages, tools = tools_as_text(messages, tools), None
        elif not self.writes_results:
            messages = results_as_text(messages)
        if not self.arguments_as_text:
            messages = [parsed_arguments(message) for message in messages]
        return self.refusals.without(messages, tools)

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


def _try(template: ChatTemplate, *messages: TemplateMessage, prompt: bool = False) -> str:
    """Render the messages; empty where the template refuses them."""
    return rendered(template, *messages, prompt=prompt) or ""


def _writes_call(template: ChatTemplate, arguments: Any) -> bool:
    """Whether the template writes a call with these arguments, and not as a JSON string within JSON."""
    text = _try(template, USER, call({"name": NAME, "arguments": arguments}), result(), ANSWER)
    escaped = json.dumps(json.dumps(_ARGUMENTS))[1:-1]
    return NAME in text and KEY in text and escaped not in text


def _writes_result(template: ChatTemplate, arguments: Any) -> bool:
    function = {"name": NAME, "arguments": arguments}
    return result()["content"] in _try(template, USER, call(function), result(), ANSWER)


def _writes_text(template: ChatTemplate, arguments: Any) -> bool:
    turn = {**call({"name": NAME, "arguments": arguments}), "content": ANSWER["content"]}
    return ANSWER["content"] in _try(template, USER, turn)


def _moves_text(template: ChatTemplate) -> bool:
    """Whether the template moves tools or a system's text when the user speaks again, as Mistral's do."""
    return any(_moves(template, [*lead, USER], tools) for lead in ([], [SYSTEM]) for tools in (None, [TOOL]))


def _moves(template: ChatTemplate, messages: list[TemplateMessage], tools: list[Tool] | None) -> bool:
    prompt = rendered(template, *messages, tools=tools, prompt=True)
    later = rendered(template, *messages, ANSWER, AGAIN, tools=tools)
    if prompt is None or later is None:
        return False
    header = added(prompt, rendered(template, *messages, tools=tools) or "")
    return not later.startswith(prompt.removesuffix(header))


def _call_edges(template: ChatTemplate, dialect: Dialect, added: list[str]) -> CallEdges | None:
    """Return the agent's text around a call; None where it is ambiguous.

    The turn begins at the same place as an answer, or where a generation prompt ends. It ends with the
    special token that ends the text.
    """
    header, found, _ = _try(template, USER, ANSWER).partition(ANSWER["content"])
    text = _try(template, USER, call(dialect.call_to(NAME, KEY)))
    prompt = _try(template, USER, prompt=True)
    starts = [header.removesuffix(dialect.openings.space) if found else "", prompt]
    start = next((start for start in starts if start and text.startswith(start)), None)
    if start is None:
        return None
    end = dialect.special_at_end.search(text)
    opener, name, rest = text[len(start) : end.end("token") if end else len(text)].partition(NAME)
    middle, key, closer = rest.partition(KEY)
    if not (name and key) or NAME in rest or KEY in closer:
        return None
    return CallEdges((opener, *_later_opener(template, dialect, opener, added)), middle, closer)


def _later_opener(template: ChatTemplate, dialect: Dialect, opener: str, added: list[str]) -> list[str]:
    """Return the text before the name of a turn's second call, in a list; an empty one if it has none.

    DeepSeek V3's template begins later turns with it. It is what both openers end with. White space before it
    stays the template's, because it may be one token with the end of the user's text.
    """
    functions = dialect.call_to(NAME, KEY), dialect.call_to(_SECOND, KEY)
    between, name, _ = _try(template, USER, call(*functions)).partition(KEY)[2].partition(_SECOND)
    same = takewhile(lambda pair: pair[0] == pair[1], zip(reversed(between), reversed(opener), strict=False))
    start = len(between) - sum(1 for _ in same)
    for token in re.finditer(_any_of(added), between):
        start = token.end() if token.start() < start < token.end() else start
    later = between[start:].lstrip()
    return [later] if name and later not in ("", opener) else []


def _closing(template: ChatTemplate) -> str:
    return _try(template, USER, ANSWER).partition(ANSWER["content"])[2]


def _turn_end(
    template: ChatTemplate, closing: str, specials: list[str], eos_token: str | None
) -> re.Pattern[str]:
    """Return a pattern of the token that ends a turn, with the template's white space before it.

    This is the special token after an answer at the end of a conversation. Within a conversation it is only
    the end-of-sequence token, because another one may begin the next message.
    """
    last = re.match(rf"\s*({_any_of(specials)})", closing)
    within = _try(template, USER, ANSWER, USER).partition(ANSWER["content"])[2]
    ends = [last[1]] if last else []
    if eos_token and within.lstrip().startswith(eos_token):
        ends.append(eos_token)
    return re.compile(rf"\s*(?:{_any_of(ends)})")


def _longest_first(tokens: Iterable[str]) -> list[str]:
    return sorted(tokens, key=len, reverse=True)


def _any_of(words: list[str]) -> str:
    """Return the source of a pattern that matches any of `words`; without words it matches nothing."""
    return "|".join(map(re.escape, words)) or "(?!)"
