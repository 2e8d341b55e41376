"""Transcripts of Cursor's agent: JSON lines {role, message: {content}}, a session a file."""

from typing import Any

from lar.trajectories.dialects.messages import normalize_messages
from lar.trajectories.draft import Draft
from lar.trajectories.formats.base import Format
from lar.trajectories.layouts.record import Record
from lar.trajectories.raw import first_text, has


def _recognises(value: Any) -> bool:
    return (
        has(value, "role", "message")
        and has(value["message"], "content")
        and "role" not in value["message"]
        and isinstance(value["role"], str)
    )


def _read(record: Record) -> list[Draft]:
    entries = [entry for entry in record.value if _recognises(entry)]
    raw = [{"role": entry["role"], **entry["message"]} for entry in entries]
    model = first_text(entry.get("model") for entry in entries)
    return [Draft(normalize_messages(raw), model=model)]


FORMAT = Format("cursor", "Cursor agent transcript", _recognises, _read, whole_file=True)
