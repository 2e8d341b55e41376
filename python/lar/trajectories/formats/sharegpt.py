"""ShareGPT: `{"conversations": [{"from": "human", "value": "..."}, ...]}`."""

import json
from typing import Any

from lar.errors import TrajectoryError
from lar.trajectories.draft import Draft, text_or_none
from lar.trajectories.formats.base import Format
from lar.trajectories.formats.chat import parse_tools
from lar.trajectories.json_stream import Record
from lar.trajectories.messages import normalize_messages

KEYS = ("conversations", "conversation", "messages")


def _turns(value: Any) -> list[Any] | None:
    turns = next((value[key] for key in KEYS if key in value), None) if isinstance(value, dict) else value
    first = turns[0] if isinstance(turns, list) and turns else None
    return turns if isinstance(first, dict) and "from" in first and "value" in first else None


def _read(record: Record) -> Draft:
    turns = _turns(record.value)
    if turns is None:
        raise TrajectoryError("no conversation with from and value")
    value = record.value if isinstance(record.value, dict) else {}
    raw = [_call(turn) for turn in turns]
    if system := text_or_none(value.get("system")):
        raw.insert(0, {"role": "system", "content": system})
    return Draft(
        normalize_messages(raw),
        id=text_or_none(value.get("id")),
        task=text_or_none(value.get("task")),
        model=text_or_none(value.get("model")),
        tools=parse_tools(value.get("tools")),
    )


def _call(turn: Any) -> Any:
    """Read a turn from "function_call", which holds the call as JSON text."""
    if not isinstance(turn, dict) or turn.get("from") != "function_call":
        return turn
    calls = json.loads(turn["value"])
    return {"role": "assistant", "content": "", "tool_calls": calls if isinstance(calls, list) else [calls]}


FORMAT = Format(
    "sharegpt", "ShareGPT conversations (from, value)", lambda value: _turns(value) is not None, _read
)
