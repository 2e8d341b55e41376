"""Sessions of the Grok CLI (`chat_history.jsonl`): a message a line, its role under `type`.

A `reasoning` entry belongs to the turn after it.
"""

from typing import Any

from lar.trajectories.dialects.messages import normalize_messages
from lar.trajectories.draft import Draft
from lar.trajectories.formats.base import Format
from lar.trajectories.layouts.record import Record
from lar.trajectories.raw import first_text, has
from lar.trajectories.tasks import first_message_task

_ROLES = {"system": "system", "user": "user", "assistant": "assistant", "tool_result": "tool"}

_Raw = dict[str, Any]


def _recognises(value: Any) -> bool:
    return has(value, "type", "content", "model_id") and value["type"] == "assistant"


def _read(record: Record) -> list[Draft]:
    raw: list[_Raw] = []
    thoughts: list[Any] = []
    for entry in record.value:
        kind = entry.get("type")
        if kind == "reasoning":
            thoughts.append(entry.get("summary") or entry.get("content"))
        elif kind in _ROLES:
            raw.append({**entry, "role": _ROLES[kind]})
            if kind == "assistant" and thoughts:
                raw[-1]["reasoning_content"] = thoughts
                thoughts = []
    # What the program itself put before the request is no task.
    asked = [message for message in raw if message["role"] == "user" and "synthetic_reason" not in message]
    task = first_message_task(normalize_messages(asked[:1])) if asked else None
    model = first_text(entry.get("model_id") for entry in raw)
    return [Draft(normalize_messages(raw), task=task, model=model)]


FORMAT = Format("grok", "Grok CLI session (chat_history.jsonl)", _recognises, _read, whole_file=True)
