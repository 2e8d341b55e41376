"""Sessions of Crush, out of its database: messages whose parts are {type, data}."""

from typing import Any

from lar.trajectories.dialects.messages import normalize_messages
from lar.trajectories.draft import Draft
from lar.trajectories.formats.base import Format
from lar.trajectories.layouts.record import Record
from lar.trajectories.raw import first_text, has, identifier

_Raw = dict[str, Any]


def _part(part: _Raw) -> list[_Raw]:
    kind, data = part["type"], part["data"]
    if kind == "text":
        return [{"type": "text", "text": data["text"]}]
    if kind == "reasoning":
        return [{"type": "thinking", "thinking": data["thinking"]}]
    if kind == "tool_call":
        return [{"type": "tool_use", "id": data.get("id"), "name": data["name"], "input": data.get("input")}]
    if kind == "tool_result":
        named = {"tool_use_id": data.get("tool_call_id"), "name": data.get("name")}
        return [{"type": "tool_result", "content": data.get("content"), **named}]
    if kind == "shell_command":  # the user's own
        return [{"type": "text", "text": f"$ {data['command']}\n{data.get('output') or ''}"}]
    if kind == "binary":
        return [{"type": "image" if str(data.get("MIMEType")).startswith("image/") else "file"}]
    return [] if kind == "finish" else [{"type": kind}]


def _read(record: Record) -> list[Draft]:
    value = record.value
    raw = []
    for message in value["messages"]:
        parts = [raw for part in message["parts"] for raw in _part(part)]
        if parts:
            raw.append({"role": message["role"], "content": parts})
    session = value["crush_session"]
    models = (message.get("model") for message in value["messages"] if message["role"] == "assistant")
    return [Draft(normalize_messages(raw), id=identifier(session.get("id")), model=first_text(models))]


FORMAT = Format(
    "crush", "Crush session (crush.db)", lambda value: has(value, "crush_session", "messages"), _read
)
