"""Sessions of Goose: messages whose parts are text, `toolRequest` and `toolResponse`.

Read are session files (a message a line, after a line about the session), exported sessions (`conversation`),
and the outputs of `goose run` (`messages`; events of type `message`, in which a message may come in pieces).
"""

import re
from itertools import groupby
from typing import Any

from lar.trajectories.dialects.messages import normalize_messages
from lar.trajectories.draft import Draft
from lar.trajectories.formats.base import Format
from lar.trajectories.layouts.record import Record
from lar.trajectories.raw import dig, first_of, has, identifier, text_or_none

_OWN = ("toolRequest", "toolResponse")
# What Goose itself says as the agent: after a compaction, at an error of the service, at a limit of turns.
_NOTES = re.compile(
    r"(The previous message contains|The message above is|Your context was compacted)[^\n]*"
    r"\n([^\n]*\n)?Do not mention that you read a summary"
    r"|Ran into this error: .*\n\nPlease retry if you think this is a transient or recoverable error"
    r"|I've reached the maximum number of actions I can do without user input",
    re.DOTALL,
)

_Raw = dict[str, Any]


def _message(entry: Any) -> _Raw | None:
    """The message of an entry: itself, or that of an event."""
    if has(entry, "type", "message") and entry["type"] == "message":
        entry = entry["message"]
    return entry if has(entry, "role", "content") and isinstance(entry["content"], list) else None


def _is_own(entry: Any) -> bool:
    message = _message(entry)
    return message is not None and any(
        isinstance(part, dict) and part.get("type") in _OWN for part in message["content"]
    )


def _conversation(value: Any) -> list[Any] | None:
    found = next((value[key] for key in ("conversation", "messages") if key in value), None)
    if not isinstance(found, list) or not found:
        return None
    dated = has(found[0], "created") and any(map(_is_own, found))
    return found if dated or has(value, "working_dir", "conversation") else None


def _part(part: Any) -> list[Any]:
    kind = dig(part, "type")
    if kind == "toolRequest":
        call = part.get("toolCall") or {}
        call = call.get("value") or call.get("Ok") or part
        if not has(call, "name"):
            return []  # what the model wrote could not be read as a call
        return [{"type": "tool_use", "id": part.get("id"), **call}]
    if kind == "toolResponse":
        return [{"type": "tool_result", "tool_use_id": part.get("id"), "content": _answer(part)}]
    return [] if kind == "systemNotification" else [part]


def _answer(part: _Raw) -> Any:
    answer = part.get("toolResult") or part.get("tool_result") or {}
    content = first_of(answer, "value", "Ok", "error", "Err")
    return content["content"] if isinstance(content, dict) and "content" in content else content


def _is_note(parts: list[Any]) -> bool:
    """Whether a message is a note of Goose, which no model wrote."""
    texts = [dig(part, "text") for part in parts]
    return isinstance(texts[0], str) and _NOTES.match(texts[0]) is not None and all(texts)


def _draft(entries: list[Any], name: str | None = None, model: str | None = None) -> Draft:
    messages = [message for message in map(_message, entries) if message is not None]
    raw: list[_Raw] = []
    # A message that came in pieces has its name in each.
    for _, of_one in groupby(messages, key=lambda message: message.get("id") or id(message)):
        pieces = list(of_one)
        parts = [part for piece in pieces for one in piece["content"] for part in _part(one)]
        if parts:
            context = {"weight": 0} if _is_note(parts) else {}
            raw.append({"role": pieces[0]["role"], "content": parts, **context})
    return Draft(normalize_messages(raw), id=name, model=model)


def _read(record: Record) -> list[Draft]:
    value = record.value
    name, model = identifier(value.get("id")), text_or_none(value.get("model"))
    return [_draft(_conversation(value) or [], name, model)]


def _read_lines(record: Record) -> list[Draft]:
    return [_draft(record.value)]


SESSION = Format(
    "goose",
    "Goose session, exported, or the output of a run",
    lambda value: isinstance(value, dict) and _conversation(value) is not None,
    _read,
)
LINES = Format("goose_lines", "Goose session or events, one a line", _is_own, _read_lines, whole_file=True)
