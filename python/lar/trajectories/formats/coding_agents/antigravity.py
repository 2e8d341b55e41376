"""Logs of Antigravity's agent (`transcript.jsonl`): a step a line.

A planner's response is a turn; each call's result is a step of its own, which may name the call. What the
program itself puts before the model is the user's. The task is the request, without the time around it.
"""

import re
from typing import Any

from lar.trajectories.dialects.messages import normalize_messages
from lar.trajectories.draft import Draft
from lar.trajectories.formats.base import Format
from lar.trajectories.formats.runs import add_calls
from lar.trajectories.layouts.record import Record
from lar.trajectories.raw import has
from lar.trajectories.tasks import question_task

_REQUEST = re.compile(r"<USER_REQUEST>\s*(.*?)\s*</USER_REQUEST>", re.DOTALL)
_TURN = "PLANNER_RESPONSE"

_Raw = dict[str, Any]


def _read(record: Record) -> list[Draft]:
    raw: list[_Raw] = []
    open_calls: list[Any] = []
    for step in record.value:
        content, calls = step.get("content"), step.get("tool_calls") or []
        if step.get("type") == _TURN:
            thought = {"reasoning_content": step.get("thinking")}
            raw.append({"role": "assistant", "content": content, "tool_calls": calls, **thought})
            open_calls = [call.get("id") for call in calls]
        elif step.get("type") == "USER_INPUT" or step.get("source") == "SYSTEM":
            raw += [{"role": "user", "content": content}] if content else []
        else:
            if calls:
                add_calls(raw, calls)
                open_calls = [call.get("id") for call in calls]
            call_id = open_calls.pop(0) if open_calls else None
            name = str(step.get("type")).lower()
            raw.append({"role": "tool", "content": content, "name": name, "tool_call_id": call_id})
    asked = (_REQUEST.search(str(message["content"])) for message in raw if message["role"] == "user")
    task = next((question_task(found[1]) for found in asked if found), None)
    return [Draft(normalize_messages(raw), task=task)]


FORMAT = Format(
    "antigravity",
    "Antigravity transcript",
    lambda value: has(value, "step_index", "source", "type"),
    _read,
    whole_file=True,
)
