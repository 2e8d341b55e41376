"""The event streams of Droid and the Gemini CLI (`--output-format stream-json`): an event a line.

A text of the Gemini CLI comes in pieces (`delta`). Calls in a row belong to the turn before them. The last
event of Droid repeats the agent's last text, or has it alone. `pi` and `gemini_cli` read session files.
"""

from functools import partial
from typing import Any

from lar.trajectories.dialects.messages import normalize_messages
from lar.trajectories.draft import Draft
from lar.trajectories.formats.base import Format
from lar.trajectories.formats.broken_parts import Attempts
from lar.trajectories.formats.runs import add_calls
from lar.trajectories.layouts.record import Record
from lar.trajectories.raw import first_text, has

_SESSIONS = ("session_id", "sessionId")
_CALL_IDS = ("tool_id", "toolCallId", "id")

_Raw = dict[str, Any]


def _recognises(value: Any) -> bool:
    if not has(value, "type", "timestamp"):
        return False
    if value["type"] == "init":
        return has(value, "session_id", "model")
    return first_text(map(value.get, _SESSIONS)) is not None and (
        (value["type"] == "message" and has(value, "role", "text"))
        or (value["type"] == "tool_call" and has(value, "toolName"))
    )


def _read(record: Record) -> list[Draft]:
    runs: list[tuple[str | None, list[_Raw]]] = []
    for entry in record.value:
        name = first_text(map(entry.get, _SESSIONS))
        if not runs or (name is not None and runs[-1][0] not in (None, name)):
            runs.append((name, []))
        runs[-1][1].append(entry)
        runs[-1] = (runs[-1][0] or name, runs[-1][1])
    attempts = Attempts("session")
    return attempts.reported(attempts.read(name, entries, partial(_draft, name)) for name, entries in runs)


def _draft(name: str | None, entries: list[_Raw]) -> Draft:
    raw: list[_Raw] = []
    for entry in entries:
        kind = entry.get("type")
        if kind == "message":
            _say(raw, entry)
        elif kind in ("tool_use", "tool_call"):
            add_calls(raw, [_call(entry)])
        elif kind == "tool_result":
            call_id = first_text(map(entry.get, _CALL_IDS))
            raw.append({"role": "tool", "content": _answer(entry), "tool_call_id": call_id})
        elif kind == "completion" and entry.get("finalText") not in (None, "", _last(raw)):
            raw.append({"role": "assistant", "content": entry["finalText"]})
    model = first_text(entry.get("model") for entry in entries)
    return Draft(normalize_messages(raw), id=name, model=model)


def _say(raw: list[_Raw], entry: _Raw) -> None:
    text = entry.get("text", entry.get("content"))
    goes_on = entry.get("delta") and raw and raw[-1]["role"] == entry["role"] and "tool_calls" not in raw[-1]
    if goes_on:
        raw[-1]["content"] += text
    else:
        raw.append({"role": entry["role"], "content": text})


def _call(entry: _Raw) -> _Raw:
    name = entry.get("tool_name", entry.get("toolName"))
    return {"id": first_text(map(entry.get, _CALL_IDS)), "name": name, "arguments": entry.get("parameters")}


def _answer(entry: _Raw) -> Any:
    error = entry.get("error")
    said = (
        entry.get("output"),
        entry.get("value"),
        error.get("message") if isinstance(error, dict) else error,
    )
    return next((item for item in said if item is not None), "")


def _last(raw: list[_Raw]) -> Any:
    return next((message["content"] for message in reversed(raw) if message["role"] == "assistant"), None)


FORMAT = Format(
    "stream_json", "Droid or Gemini CLI event stream (stream-json)", _recognises, _read, whole_file=True
)
