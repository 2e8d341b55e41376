"""Spans of OpenAI's Agents SDK, as its trace processors export them: those of generations.

The spans of responses hold an id alone. The task is the trace.
"""

from typing import Any

from lar.trajectories.draft import Draft, no_content
from lar.trajectories.formats.base import Format
from lar.trajectories.formats.tracers.calls.call import make_draft
from lar.trajectories.layouts.record import Record
from lar.trajectories.raw import identifier, text_or_none


def _is_span(value: Any) -> bool:
    if not isinstance(value, dict) or value.get("object") not in ("trace", "trace.span"):
        return False
    return "id" in value and (value["object"] == "trace" or isinstance(value.get("span_data"), dict))


def _read(record: Record) -> list[Draft]:
    value = record.value
    data = value.get("span_data") or {}
    if data.get("type") not in ("generation", "response"):
        return []
    draft = make_draft(
        data.get("input"),
        data.get("output") or data.get("response"),
        tools=data.get("tools"),
        id=text_or_none(value["id"]),
        task=identifier(value.get("trace_id")),
        model=text_or_none(data.get("model")),
    )
    return [draft or no_content()]


FORMAT = Format("agents_sdk", "Spans of OpenAI's Agents SDK", _is_span, _read, may_be_empty=True)
