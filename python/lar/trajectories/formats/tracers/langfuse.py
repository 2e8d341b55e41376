"""Langfuse's exports: a trace with its observations, or observations or traces as single rows.

A generation gives a trajectory, its output after its input. Other observations (spans, tools, agents) give
none. A trace without a generation gives its own input and output, or those of its outermost observation. The
task is the trace.
"""

import json
from collections.abc import Iterator
from typing import Any

from lar.trajectories.draft import Draft, no_content
from lar.trajectories.formats.base import Format
from lar.trajectories.formats.broken_parts import Attempts
from lar.trajectories.formats.tracers.calls import conventions
from lar.trajectories.formats.tracers.calls.call import make_draft, read_tools
from lar.trajectories.formats.tracers.calls.scores import solved_by
from lar.trajectories.formats.tracers.calls.spans import Span
from lar.trajectories.formats.tracers.calls.tree import Node, calls_of_trace, calls_without_content
from lar.trajectories.layouts.record import Record
from lar.trajectories.raw import as_list, from_json_text, has, identifier, text_or_none
from lar.trajectories.schema import Tool

_TYPES = (
    *("GENERATION", "SPAN", "EVENT", "AGENT", "TOOL", "CHAIN", "RETRIEVER", "EVALUATOR", "EMBEDDING"),
    "GUARDRAIL",
)
_REPLIES = ("output", "outputs", "response", "completion")
_MODELS = ("model", "providedModelName", "provided_model_name")
_TOOLS = ("toolDefinitions", "tool_definitions")
_OF_A_ROW = ("parentObservationId", "parent_observation_id", "startTime", "start_time", "level", "input")
_OF_A_TRACE = ("htmlPath", "projectId", "project_id", "bookmarked", "observations", "observationCount")


def _get(row: Any, *names: str) -> Any:
    if not isinstance(row, dict):
        return None
    return next((row[name] for name in names if row.get(name) not in (None, "")), None)


def _is_trace(value: Any) -> bool:
    """Whether `value` is a trace: with its observations, inside `trace`, or a row of the table of traces."""
    if not isinstance(value, dict):
        return False
    observations = value.get("observations")
    if isinstance(observations, list) and any(map(_is_row, observations)):
        return True
    row = value["trace"] if has(value, "trace", "observations") else value
    if not has(row, "id", "timestamp", "input", "output"):
        return False
    return any(key in row for key in _OF_A_TRACE) or any(map(_is_score, _scores(row)))


def _is_score(value: Any) -> bool:
    """Whether `value` is a score as only Langfuse writes them."""
    return has(value, "name", "value") and ("dataType" in value or "data_type" in value)


def _is_row(value: Any) -> bool:
    if not isinstance(value, dict) or _type(value) not in _TYPES or "id" not in value:
        return False
    return any(key in value for key in _OF_A_ROW)


def _is_observation(value: Any) -> bool:
    return _is_row(value) and bool(_get(value, "traceId", "trace_id"))


def _type(row: dict[str, Any]) -> str:
    return str(row.get("type")).upper()


def _read_trace(record: Record) -> list[Draft]:
    value = record.value
    trace = value["trace"] if isinstance(value.get("trace"), dict) else value
    scores = [*_scores(trace), *(_scores(value) if value is not trace else ())]
    rows = [row for row in value.get("observations") or [] if isinstance(row, dict)]
    attempts = Attempts("call")

    def read(row: dict[str, Any]) -> Draft | None:
        return _generation(row, trace, scores)

    nodes = [
        Node(row.get("id"), _parent(row), attempts.read(row.get("id"), row, read), _tools_of_agent(row))
        for row in rows
    ]
    success = solved_by(_pairs(scores, None))
    if calls := attempts.reported(calls_of_trace(nodes, success)):
        return calls + calls_without_content(nodes)
    outermost = [trace, *(row for row in rows if _parent(row) is None and _type(row) != "TOOL")]
    drafts = (_row(row, task=trace.get("id"), success=success) for row in outermost)
    return [draft for draft in drafts if draft][:1] or calls_without_content(nodes)


def _read_observation(record: Record) -> list[Draft]:
    draft = _generation(record.value, record.context, _scores(record.value))
    return [draft] if draft else []


def _tools_of_agent(row: dict[str, Any]) -> list[Tool] | None:
    return read_tools(conventions.tools_of(_span(row))) if _type(row) == "AGENT" else None


def _parent(row: dict[str, Any]) -> Any:
    return _get(row, "parentObservationId", "parent_observation_id")


def _generation(row: dict[str, Any], trace: dict[str, Any], scores: list[Any]) -> Draft | None:
    if _type(row) != "GENERATION":
        return None
    task = _get(row, "traceId", "trace_id") or trace.get("id")
    return _row(row, task=task, success=solved_by(_pairs(scores, row.get("id")))) or no_content()


def _row(row: dict[str, Any], *, task: Any, success: bool | None) -> Draft | None:
    given, answered = _decoded(row.get("input")), _decoded(_get(row, *_REPLIES))
    span = _span(row)
    if given is None and answered is None:
        given, answered = conventions.input_of(span), conventions.answer_of(span)
    return make_draft(
        conventions.with_system(given, span),
        answered,
        is_whole=_type(row) != "GENERATION",
        tools=_definitions(_get(row, *_TOOLS)) or conventions.tools_of(span),
        id=identifier(row.get("id")),
        task=text_or_none(task),
        success=success,
        model=text_or_none(_get(row, *_MODELS)),
    )


def _decoded(value: Any) -> Any:
    """Return a text that an export wrote as JSON, with its quotes, as the text itself."""
    if isinstance(value, str) and len(value) > 1 and value[0] == value[-1] == '"':
        try:
            return json.loads(value)
        except ValueError:
            return value
    return value


def _span(row: dict[str, Any]) -> Span:
    """Return the span of OpenTelemetry that an observation was made of, as far as its metadata has it."""
    metadata = from_json_text(row.get("metadata"))
    attributes = from_json_text(metadata.get("attributes")) if isinstance(metadata, dict) else None
    return Span(attributes=attributes) if isinstance(attributes, dict) else Span()


def _definitions(value: Any) -> list[Any] | None:
    """Return schemas out of an object of them by name, each an object or its JSON text."""
    value = from_json_text(value)
    if not isinstance(value, dict):
        return value if isinstance(value, list) else None
    schemas = [(name, from_json_text(schema)) for name, schema in value.items()]
    return [{"name": name} | schema for name, schema in schemas if isinstance(schema, dict)] or None


def _scores(row: dict[str, Any]) -> list[Any]:
    """Return the scores of a row: a list of them, or an object of values by name (exports of tables)."""
    scores = from_json_text(row.get("scores"))
    if isinstance(scores, dict):
        values = ((name, as_list(value)) for name, value in scores.items())
        return [{"name": name, "value": value[0]} for name, value in values if value]
    return scores if isinstance(scores, list) else []


def _pairs(scores: list[Any], observation: Any) -> Iterator[tuple[Any, Any]]:
    """Yield the name and the value of the scores of one observation; None for those of the whole trace."""
    for score in scores:
        if isinstance(score, dict) and _get(score, "observationId", "observation_id") == observation:
            yield score.get("name"), _get(score, "stringValue", "string_value", "value")


TRACE = Format(
    "langfuse",
    "Langfuse's traces, with their observations or as rows",
    _is_trace,
    _read_trace,
    may_be_empty=True,
)
OBSERVATION = Format(
    "langfuse_observation",
    "Langfuse's observations as rows",
    _is_observation,
    _read_observation,
    may_be_empty=True,
)
