"""MLflow's traces, as `Trace.to_dict` or as rows of `search_traces`: the spans that are calls of a model.

The task is the trace, success its assessments.
"""

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from lar.trajectories.draft import Draft
from lar.trajectories.formats.base import Format
from lar.trajectories.formats.tracers.calls import spans
from lar.trajectories.formats.tracers.calls.scores import solved_by
from lar.trajectories.formats.tracers.calls.spans import Span
from lar.trajectories.formats.tracers.otel import read_spans
from lar.trajectories.layouts.record import Record
from lar.trajectories.raw import dig, first_of, from_json_text


def _is_trace(value: Any) -> bool:
    if not isinstance(value, dict):
        return False
    found = _spans(value)
    return bool(found) and all(isinstance(span, dict) for span in found) and _is_span(found[0])


def _is_span(span: dict[str, Any]) -> bool:
    attributes = from_json_text(span.get("attributes"))
    return isinstance(attributes, dict) and any(str(key).startswith("mlflow.span") for key in attributes)


def _spans(value: dict[str, Any]) -> list[Any]:
    data = from_json_text(value.get("data"))
    found = from_json_text((data if isinstance(data, dict) else value).get("spans"))
    return found if isinstance(found, list) else []


def _read(record: Record) -> list[Draft]:
    info = record.value.get("info")
    about = info if isinstance(info, dict) else record.value
    trace = first_of(about, "trace_id", "request_id")
    found = [_decoded(spans.from_flat(span), trace) for span in _spans(record.value)]
    return read_spans(found, solved_by(_assessments(about)))


def _decoded(span: Span, trace: Any) -> Span:
    """Return a span of `trace` with the values of its attributes, which MLflow writes as JSON."""
    attributes = {key: _value(value) for key, value in span.attributes.items()}
    return replace(span, attributes=attributes, trace=trace if isinstance(trace, str) else span.trace)


def _value(value: Any) -> Any:
    try:
        return json.loads(value) if isinstance(value, str) else value
    except (ValueError, RecursionError):
        return value


def _assessments(about: dict[str, Any]) -> Iterator[tuple[Any, Any]]:
    for item in from_json_text(about.get("assessments")) or []:
        feedback = dig(item, "feedback")
        if isinstance(feedback, dict):
            yield item.get("assessment_name") or item.get("name"), feedback.get("value")


FORMAT = Format("mlflow", "MLflow's traces", _is_trace, _read, may_be_empty=True)
