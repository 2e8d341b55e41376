"""Sessions of pi, OpenClaw and Factory's Droid: JSON lines, an entry each, in a tree by `parentId`.

A message holds text, thinking and calls; a tool's result is a message of its own. Summaries of a compaction
or of a branch, and what an extension or the user's own command put into the context, are the user's. Each
branch with a turn of its own is a trajectory; turns that it shares with an earlier one have weight 0.
"""

from typing import Any

from lar.trajectories.dialects.messages import normalize_messages
from lar.trajectories.dialects.parts import object_parts
from lar.trajectories.draft import Draft
from lar.trajectories.formats.base import Format
from lar.trajectories.formats.coding_agents.branches import branch_name, branches
from lar.trajectories.layouts.record import Record
from lar.trajectories.raw import first_text, has
from lar.trajectories.tasks import first_message_task

_HEADERS = ("session", "session_start")
_SUMMARIES = ("branchSummary", "compactionSummary")

_Raw = dict[str, Any]


def _recognises(value: Any) -> bool:
    if has(value, "type", "message"):
        message = value["message"]
        return value["type"] == "message" and has(message, "role") and "id" not in message
    return has(value, "type", "id", "cwd") and value["type"] in _HEADERS


def _read(record: Record) -> list[Draft]:
    drafts: list[Draft] = []
    for header, entries in _sessions(record.value):
        name = str(header.get("id", ""))
        found = branches(entries, "id", "parentId", _speaks, _calls(entries))
        for number, (path, shared) in enumerate(found):
            raw = [message for entry in path for message in _raw_messages(entry, id(entry) in shared)]
            if raw:
                model = first_text((*map(_model, path), header.get("modelId")))
                messages = normalize_messages(raw)
                drafts.append(Draft(messages, id=branch_name(name, number), task=_task(path), model=model))
    return drafts


def _task(path: list[_Raw]) -> str | None:
    """The task by the first message of the user: an extension may have put others before it."""
    asked = next((message for entry in path if (message := _asked(entry))), None)
    return first_message_task(normalize_messages([asked])) if asked else None


def _sessions(entries: list[_Raw]) -> list[tuple[_Raw, list[_Raw]]]:
    """The header of each session and the entries after it."""
    found: list[tuple[_Raw, list[_Raw]]] = []
    for entry in entries:
        if entry.get("type") in _HEADERS:
            found.append((entry, []))
        elif found:
            found[-1][1].append(entry)
        else:
            found.append(({}, [entry]))
    return found


def _message(entry: _Raw) -> _Raw:
    message = entry.get("message")
    return message if entry.get("type") == "message" and isinstance(message, dict) else {}


def _speaks(entry: _Raw) -> bool:
    """Whether an entry is a turn of the agent; a call of the model that failed has no content."""
    message = _message(entry)
    return message.get("role") == "assistant" and bool(message.get("content"))


def _asked(entry: _Raw) -> _Raw | None:
    message = _message(entry)
    return message if message.get("role") == "user" and message.get("content") else None


def _model(entry: _Raw) -> Any:
    return entry.get("modelId") if entry.get("type") == "model_change" else _message(entry).get("model")


def _calls(entries: list[_Raw]) -> dict[str, int]:
    """The place of the entry with each call: OpenClaw gives a result the call's name as its parent."""
    places: dict[str, int] = {}
    for place, entry in enumerate(entries):
        for part in object_parts(_message(entry)):
            if "id" in part and part.get("type") in ("toolCall", "tool_use"):
                places[part["id"]] = place
    return places


def _raw_messages(entry: _Raw, is_shared: bool) -> list[_Raw]:
    """The messages that an entry adds to what the model reads."""
    kind = entry.get("type")
    if kind in ("compaction", "branch_summary"):
        return [{"role": "user", "content": entry["summary"]}]
    if kind == "custom_message":
        return [{"role": "user", "content": entry["content"]}]
    message = _message(entry)
    role = message.get("role")
    if role == "assistant":
        shared = {"weight": 0} if is_shared else {}
        return [{**message, **shared}] if message.get("content") else []
    if role == "toolResult":
        named = {"tool_call_id": message.get("toolCallId"), "name": message.get("toolName")}
        return [{"role": "tool", "content": message.get("content"), **named}]
    if role == "bashExecution":
        text = f"$ {message['command']}\n{message.get('output') or ''}"
        return [] if message.get("excludeFromContext") else [{"role": "user", "content": text}]
    if role in _SUMMARIES:
        return [{"role": "user", "content": message["summary"]}]
    if role in ("custom", "hookMessage"):
        return [{"role": "user", "content": message["content"]}]
    return [message] if message else []


FORMAT = Format("pi", "pi, OpenClaw or Droid session", _recognises, _read, whole_file=True)
