"""Transcripts of several agents in one form, as viewers of sessions write them: {type, message} a line.

They are like Claude Code's entries, but a tool has an entry of its own: a call and its result, {tool_name,
tool_input, tool_output}, or a message of the role `tool`. Such a call belongs to the turn just before it.
"""

from functools import partial
from typing import Any

from lar.trajectories.dialects.messages import normalize_messages
from lar.trajectories.dialects.parts import object_parts
from lar.trajectories.draft import Draft
from lar.trajectories.formats.base import Format
from lar.trajectories.formats.broken_parts import Attempts
from lar.trajectories.formats.coding_agents.branches import sessions
from lar.trajectories.formats.runs import add_calls
from lar.trajectories.layouts.record import Record
from lar.trajectories.raw import has, text_or_none

_ROLES = ("user", "assistant", "system", "tool")

_Raw = dict[str, Any]


def _is_tool(value: Any) -> bool:
    if not has(value, "type", "message"):
        return False
    message = value["message"]
    return has(message, "tool_name") or (
        value["type"] == "tool_result" and has(message, "role") and message["role"] == "tool"
    )


def _is_entry(value: Any) -> bool:
    return (
        has(value, "type", "message")
        and value["type"] in ("user", "assistant")
        and has(value["message"], "role", "content")
        and "sessionId" not in value
    )


def _read(record: Record) -> list[Draft]:
    spoken = [entry for entry in record.value if isinstance(entry.get("message"), dict)]
    attempts = Attempts("session")
    found = sessions(spoken, "sessionId").items()
    return attempts.reported(attempts.read(name, entries, partial(_draft, name)) for name, entries in found)


def _draft(name: str, entries: list[_Raw]) -> Draft:
    raw: list[_Raw] = []
    open_calls: list[str] = []
    model = None
    for entry in entries:
        message = entry["message"]
        model = model or text_or_none(message.get("model"))
        role = message.get("role") or entry.get("type")
        if "tool_name" in message:
            tool = message["tool_name"]
            add_calls(raw, [{"name": tool, "arguments": message.get("tool_input")}])
            raw.append({"role": "tool", "name": tool, "content": message.get("tool_output")})
        elif role == "tool":
            call_id = message.get("tool_call_id") or (open_calls.pop(0) if open_calls else None)
            raw.append({**message, "role": role, "tool_call_id": call_id})
        elif role in _ROLES:
            raw.append({**message, "role": role})
            open_calls = _calls(message) if role == "assistant" else open_calls
    return Draft(normalize_messages(raw), id=name or None, model=model)


def _calls(message: _Raw) -> list[str]:
    return [part["id"] for part in object_parts(message) if "id" in part and part.get("type") == "tool_use"]


TOOLS = Format(
    "transcript", "Transcript with a tool's call and result an entry", _is_tool, _read, whole_file=True
)
ENTRIES = Format(
    "transcript_entries", "Transcript of {type, message} without sessions", _is_entry, _read, whole_file=True
)
