"""Replies that a log has as the events of a stream -> the reply as one object.

Events stand as server-sent text (`data: {...}` lines), as lines of JSON (Ollama), as a list of such lines, or
as a list of objects.
"""

import re
from collections.abc import Iterable
from typing import Any

from lar.trajectories.formats.broken_parts import MALFORMED
from lar.trajectories.formats.interfaces import (
    stream_anthropic,
    stream_chat,
    stream_cohere,
    stream_gemini,
    stream_interactions,
    stream_responses,
)
from lar.trajectories.formats.interfaces.stream_events import Dialect, Event
from lar.trajectories.raw import dig, from_json_text, lines_of

# The first line of server-sent text; some servers begin with a comment. Its data must be an object.
_SENT = re.compile(r"\s*(data|event|id|retry)?:")
_OBJECT = re.compile(r"(^|[\r\n])data: *\{")
_DONE = re.compile(r"(^|[\r\n])data: *\[DONE\]")
_CUT = "the stream has no end"  # a member of such replies
# What stands for a stream that cannot be read: the form of a service's error, which is no text of the agent.
_UNREAD = {"error": {"message": "a stream of no known interface"}}


def whole_reply(value: Any) -> Any:
    """The reply that the events of a stream add up to; `value` itself where it is no stream.

    Of a stream that was cut (`is_cut`), calls that are not complete are left out.

    Server-sent text of no known interface gives an error, so that nobody takes it for text of the agent.
    """
    given = "\n".join(value) if _are_lines(value) else value
    events = _events(given)
    for dialect in _DIALECTS:
        if any(map(dialect.is_mine, events)):
            try:
                is_whole = _is_done(given) or any(map(dialect.is_end, events))
                reply = dialect.assemble(events, is_whole)
            except MALFORMED:
                return _UNREAD
            return reply if is_whole else {**reply, _CUT: True}
    return _UNREAD if _is_sent(given) else value


def is_event(value: dict[str, Any]) -> bool:
    """Whether an object is an event of a stream of a known interface."""
    return any(dialect.is_mine(value) for dialect in _DIALECTS)


def is_cut(reply: Any) -> bool:
    """Whether a reply is that of a stream without an end."""
    return isinstance(reply, dict) and _CUT in reply


def _is_done(value: Any) -> bool:
    """Whether a stream has the line with which OpenAI's streams end."""
    if isinstance(value, list):
        return any("[DONE]" in (item, dig(item, "data")) for item in value)
    return isinstance(value, str) and _DONE.search(value) is not None


def _is_sent(value: Any) -> bool:
    return isinstance(value, str) and _SENT.match(value) is not None and _OBJECT.search(value) is not None


def _are_lines(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(line, str) for line in value)


def _events(value: Any) -> list[Event]:
    if isinstance(value, str):
        return _of_text(value)
    if isinstance(value, dict) and isinstance(value.get("response"), dict) and "type" in value:
        return [value]  # the last event alone
    if not isinstance(value, list):
        return []
    return [inner for event in value if (inner := _inner(event)) is not None]


def _of_text(text: str) -> list[Event]:
    """The events in server-sent text or in lines of JSON, of which the last may be cut.

    An agent may write lines of JSON too, so the first must be an event of a known interface.
    """
    if _is_sent(text):
        return _objects(line[5:].strip() for line in lines_of(text) if line.startswith("data:"))
    first = from_json_text(lines_of(text)[0]) if text.startswith("{") and "\n" in text else None
    if isinstance(first, dict) and is_event(first):
        return _objects(lines_of(text))
    return []


def _objects(lines: Iterable[str]) -> list[Event]:
    return [event for event in map(from_json_text, lines) if isinstance(event, dict)]


def _inner(event: Any) -> Event | None:
    """The event in a wrapping of its own: `{event, data}`, or `{chunk: {...}}`."""
    for key in ("data", "chunk", "event"):
        if isinstance(event, dict) and "type" not in event and isinstance(event.get(key), str | dict):
            event = from_json_text(event[key])
    return event if isinstance(event, dict) else None


_DIALECTS: tuple[Dialect, ...] = (
    stream_anthropic.ANTHROPIC,
    stream_anthropic.CONVERSE,
    stream_responses.RESPONSES,
    stream_cohere.COHERE,
    stream_interactions.INTERACTIONS,
    stream_chat.CHAT,
    stream_chat.TEXT,
    stream_chat.OLLAMA,
    stream_gemini.GEMINI,
)
