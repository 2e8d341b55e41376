"""OTLP documents of log records: the events in which newer instrumentations put the messages of a call.

The records of one span make one call. They may stand in several documents, so a file is read whole, with the
documents of spans in it.
"""

from collections.abc import Iterator
from typing import Any

from lar.trajectories.draft import Draft, has_content
from lar.trajectories.formats.base import Format
from lar.trajectories.formats.broken_parts import Attempts
from lar.trajectories.formats.tracers import otel
from lar.trajectories.formats.tracers.calls.conventions import read_call
from lar.trajectories.formats.tracers.calls.spans import Span, id_of, plain, plain_attributes
from lar.trajectories.layouts.record import Record
from lar.trajectories.raw import as_list, either

_CONTENT = ("gen_ai.input.messages", "gen_ai.output.messages")


def _is_document(value: Any) -> bool:
    return isinstance(either(value, "resource_logs"), list)


def _read(record: Record) -> list[Draft]:
    documents = as_list(record.value)
    spans: dict[tuple[Any, Any], Span] = {}
    for entry in (entry for document in documents if _is_document(document) for entry in _entries(document)):
        attributes = plain_attributes(entry.get("attributes"))
        name = either(entry, "event_name") or attributes.get("event.name")
        if not isinstance(name, str) or not name.startswith("gen_ai."):
            continue
        trace, own = id_of(either(entry, "trace_id")), id_of(either(entry, "span_id"))
        span = spans.setdefault((trace, own), Span(trace, own))
        span.attributes |= {key: value for key, value in attributes.items() if key not in _CONTENT}
        body = plain(entry.get("body"))
        span.events.append((name, attributes | (body if isinstance(body, dict) else {"content": body})))
    attempts = Attempts("call")
    drafts = [draft for span in spans.values() if (draft := attempts.read(span.id, span, read_call))]
    others = (Record(entry, record.number) for entry in documents if otel.is_document(entry))
    read = {(draft.task, draft.id) for draft in drafts}
    of_spans = (draft for other in others for draft in otel.read_document(other))
    # A span whose content stands in log records has none itself.
    drafts += [draft for draft in of_spans if has_content(draft) or (draft.task, draft.id) not in read]
    return attempts.reported(drafts)


def _entries(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for resource in either(document, "resource_logs"):
        for scope in either(resource, "scope_logs") or []:
            yield from either(scope, "log_records") or []


FORMAT = Format(
    "otlp_logs",
    "OpenTelemetry's events, OTLP JSON",
    _is_document,
    _read,
    whole_file=True,
    counts_entries=True,
    may_be_empty=True,
)
