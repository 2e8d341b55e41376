"""Calls of W&B Weave, one each: those whose output is a response of a model's provider.

Weave traces functions of all kinds, so the output decides. The task is the trace.
"""

from typing import Any

from lar.trajectories.draft import Draft
from lar.trajectories.formats.base import Format
from lar.trajectories.formats.tracers.calls.call import make_draft
from lar.trajectories.layouts.record import Record
from lar.trajectories.raw import dig, has, identifier, text_or_none


def _is_call(value: Any) -> bool:
    return has(value, "op_name", "trace_id", "inputs")


def _is_response(output: Any) -> bool:
    """Whether an output is a response of OpenAI (chat, Responses), Anthropic or Gemini, or its message."""
    if not isinstance(output, dict):
        return False
    lists = any(isinstance(output.get(key), list) for key in ("choices", "candidates"))
    return lists or output.get("object") == "response" or output.get("role") == "assistant"


def _read(record: Record) -> list[Draft]:
    value = record.value
    inputs, output = value["inputs"], value.get("output")
    if not _is_response(output):
        return []
    draft = make_draft(
        inputs,
        output,
        id=identifier(value.get("id")),
        task=text_or_none(value["trace_id"]),
        model=text_or_none(dig(inputs, "model")) or text_or_none(output.get("model")),
    )
    return [draft] if draft else []


FORMAT = Format("weave", "Calls of W&B Weave", _is_call, _read, may_be_empty=True)
