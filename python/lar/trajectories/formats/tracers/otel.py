"""OpenTelemetry's spans: OTLP documents (one, or one a line), Jaeger's traces, and single spans.

A span that is a call of a model gives a trajectory, whose task is the trace. The span of an agent gives one
where no call of its trace stands beside it: it holds the whole conversation (Pydantic AI), or it is the root
of a trace that stands in one document.
"""

from collections.abc import Iterable
from typing import Any

from lar.trajectories.draft import Draft, no_content
from lar.trajectories.formats.base import Format
from lar.trajectories.formats.broken_parts import Attempts
from lar.trajectories.formats.tracers.calls import conventions, spans
from lar.trajectories.formats.tracers.calls.call import read_tools
from lar.trajectories.formats.tracers.calls.scores import solved_by
from lar.trajectories.formats.tracers.calls.spans import Span
from lar.trajectories.formats.tracers.calls.tree import Node, calls_of_trace, calls_without_content
from lar.trajectories.layouts.record import Record
from lar.trajectories.raw import has

_DOCUMENTS = ("resourceSpans", "resource_spans", "batches")


def is_document(value: Any) -> bool:
    """Whether `value` is an OTLP document of spans, or a trace of Jaeger."""
    if not isinstance(value, dict):
        return False
    return any(isinstance(value.get(key), list) for key in _DOCUMENTS) or _is_jaeger(value)


def _is_jaeger(value: Any) -> bool:
    return has(value, "traceID", "spans") and isinstance(value["spans"], list)


def read_document(record: Record) -> list[Draft]:
    """Return the calls in a document."""
    value = record.value
    found = map(spans.from_flat, value["spans"]) if _is_jaeger(value) else spans.in_document(value)
    return read_spans(found)


def read_spans(found: Iterable[Span], success: bool | None = None) -> list[Draft]:
    """Return the calls in the spans; `success` is that of their traces, where the spans have no scores."""
    attempts = Attempts("call")
    drafts = [draft for trace in spans.by_trace(found) for draft in _read_trace(trace, success, attempts)]
    return attempts.reported(drafts)


def _read_trace(trace: list[Span], success: bool | None, attempts: Attempts) -> list[Draft]:
    """Read a trace's calls; without any, an agent's conversation, or the run of the agent at its root."""
    nodes, scores = [], []
    for span in trace:
        is_call = conventions.is_call(span)
        call = attempts.read(span.id, span, _read_call) if is_call else None
        tools = read_tools(conventions.tools_of(span)) if conventions.is_agent(span) else None
        nodes.append(Node(span.id, span.parent, call, tools))
        scores += [] if is_call else conventions.scores_of(span)
    judged = solved_by(scores)
    if calls := calls_of_trace(nodes, success if judged is None else judged):
        return calls + calls_without_content(nodes)
    conversations = [draft for span in trace if (draft := conventions.read_conversation(span))]
    if not conversations and len(trace) > 1:
        roots = [span for span in trace if span.parent is None and conventions.is_agent(span)]
        conversations = [draft for span in roots if (draft := conventions.read_call(span))]
    return conversations or calls_without_content(nodes)


def _read_call(span: Span) -> Draft:
    return conventions.read_call(span) or no_content(span.id, span.trace)


def _read_span(record: Record) -> list[Draft]:
    return read_spans([spans.from_flat(record.value)])


OTLP = Format(
    "otlp",
    "OpenTelemetry's spans as OTLP JSON (GenAI conventions, OpenInference)",
    is_document,
    read_document,
    may_be_empty=True,
)
SPAN = Format(
    "span",
    "OpenTelemetry's spans one by one (console, Phoenix)",
    spans.is_flat,
    _read_span,
    may_be_empty=True,
)
