"""Spans of OpenTelemetry in every wrapping -> `Span`, with plain values and flat names of attributes.

Wrappings: OTLP's JSON (camelCase and snake_case, also Tempo's `batches`), the console exporters of the SDKs
for Python and JavaScript, Phoenix's spans (JSON, and rows of a table), Logfire's rows, Jaeger's JSON.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from lar.trajectories.raw import first_of, from_json_text

_TRACE_IDS = ("traceId", "trace_id", "traceID", "context.trace_id")
_SPAN_IDS = ("spanId", "span_id", "spanID", "context.span_id")
_PARENT_IDS = ("parentSpanId", "parent_span_id", "parent_id", "parentId")
_NAMES = ("name", "span_name", "operationName")
_NUMBER = re.compile(r"\.\d+(?=\.|$)")
_SCALARS = ("string", "int", "double", "bool", "bytes")


@dataclass(slots=True)
class Span:
    """One span: the ids of its trace, of itself and of its parent, its attributes and its events."""

    trace: str | None = None
    id: str | None = None
    parent: str | None = None
    attributes: dict[str, Any] = field(default_factory=dict)
    events: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    _numbered: set[str] | None = None

    def get(self, *names: str) -> Any:
        """Return the first of the attributes `names` that has a value."""
        values = (_at(self.attributes, name) for name in names)
        return next((value for value in values if value is not None and value != ""), None)

    def indexed(self, prefix: str) -> Any:
        """Return the attribute `prefix`, or what attributes such as `prefix.0.role` make together."""
        value = self.get(prefix)
        if isinstance(value, list | dict) or prefix not in self._prefixes():
            return value
        start = prefix + "."
        below = {key[len(start) :]: item for key, item in self.attributes.items() if key.startswith(start)}
        return _nested(below) if below else value

    def is_torn(self, prefix: str) -> bool:
        """Whether the first of the attributes `prefix.0...`, `prefix.1...` are missing.

        OpenTelemetry's SDK for Python keeps the last 128 attributes of a span, unless it is told otherwise.
        """
        if isinstance(self.get(prefix), list | dict) or prefix not in self._prefixes():
            return False
        start = prefix + "."
        numbers = {key[len(start) :].partition(".")[0] for key in self.attributes if key.startswith(start)}
        return bool(numbers) and all(map(str.isdecimal, numbers)) and "0" not in numbers

    def _prefixes(self) -> set[str]:
        """The names before the numbers in the attributes' names."""
        if self._numbered is None:
            self._numbered = {
                key[: found.start()] for key in self.attributes if (found := _NUMBER.search(key))
            }
        return self._numbered


def _at(attributes: dict[str, Any], name: str) -> Any:
    """Return an attribute by its dotted name, also where the attributes are nested objects."""
    if name in attributes:
        return attributes[name]
    first, _, rest = name.partition(".")
    inner = attributes.get(first)
    return _at(inner, rest) if rest and isinstance(inner, dict) else None


def _nested(flat: dict[str, Any]) -> Any:
    """Make objects and lists out of dotted names: `0.role` is the role of the first element."""
    tree: dict[str, Any] = {}
    for path, value in flat.items():
        *steps, last = path.split(".")
        node = tree
        for step in steps:
            inner = node.setdefault(step, {})
            node = inner if isinstance(inner, dict) else node.setdefault(f"{step}.", {})
        node.setdefault(last, value)
    return _listed(tree)


def _listed(node: Any) -> Any:
    if not isinstance(node, dict):
        return node
    if node and all(key.isdecimal() for key in node):
        return [_listed(node[key]) for key in sorted(node, key=int)]
    return {key: _listed(value) for key, value in node.items()}


def in_document(value: dict[str, Any]) -> Iterator[Span]:
    """Yield the spans of an OTLP document."""
    for resource in first_of(value, "resourceSpans", "resource_spans", "batches") or []:
        scopes = first_of(resource, "scopeSpans", "scope_spans", "instrumentationLibrarySpans")
        for scope in scopes or []:
            yield from map(from_flat, scope.get("spans") or [])


def from_flat(value: dict[str, Any]) -> Span:
    """Return a span that stands alone, in any of the wrappings."""
    context = first_of(value, "context", "spanContext")
    ids = context if isinstance(context, dict) else value
    attributes = plain_attributes(_attributes(value))
    if kind := value.get("span_kind"):  # Phoenix
        attributes.setdefault("openinference.span.kind", kind)
    events = from_json_text(first_of(value, "events", "otel_events", "logs"))
    return Span(
        id_of(first_of(ids, *_TRACE_IDS)),
        id_of(first_of(ids, *_SPAN_IDS)),
        id_of(first_of(value, *_PARENT_IDS)),
        attributes,
        [_event(event) for event in events or [] if isinstance(event, dict)],
    )


def is_flat(value: Any) -> bool:
    """Whether `value` is a span that stands alone: it has its trace's id, its own, a name and attributes."""
    if not isinstance(value, dict) or first_of(value, *_NAMES) is None:
        return False
    context = first_of(value, "context", "spanContext")
    ids = context if isinstance(context, dict) else value
    has_ids = first_of(ids, *_TRACE_IDS) is not None and first_of(ids, *_SPAN_IDS) is not None
    return has_ids and isinstance(_attributes(value), dict | list)


def _attributes(value: dict[str, Any]) -> Any:
    """Return a span's attributes; in Phoenix's tables each has a column of its own."""
    attributes = from_json_text(first_of(value, "attributes", "tags"))
    if attributes is not None:
        return attributes
    columns = [key for key in value if str(key).startswith("attributes.") and value[key] is not None]
    return {key.removeprefix("attributes."): value[key] for key in columns} if columns else None


def plain_attributes(attributes: Any) -> dict[str, Any]:
    """Return attributes (a list of keys and typed values, or an object) as an object of plain values."""
    if isinstance(attributes, dict):
        return {key: plain(value) for key, value in attributes.items()}
    named = [item for item in attributes or [] if isinstance(item, dict) and "key" in item]
    return {str(item["key"]): plain(item.get("value")) for item in named}


def plain(value: Any) -> Any:
    """Return OTLP's typed value as a plain one; plain values pass unchanged."""
    if not isinstance(value, dict) or len(value) != 1:
        return value
    ((name, inner),) = value.items()
    kind = name.removesuffix("Value").removesuffix("_value")
    if kind == name:
        return value
    if kind == "array":
        return [plain(item) for item in inner.get("values") or []]
    if kind == "kvlist":
        return plain_attributes(inner.get("values") or [])
    return inner if kind in _SCALARS else value


def _event(event: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    attributes = plain_attributes(first_of(event, "attributes", "fields", "event_attributes") or {})
    name = first_of(event, "name", "event_name") or attributes.get("event") or attributes.get("event.name")
    return str(name or ""), attributes


def id_of(value: Any) -> str | None:
    """Return the id of a trace or a span, without the prefix that the console exporter writes."""
    return str(value).removeprefix("0x") if value is not None and value != "" else None


def by_trace(spans: Iterable[Span]) -> list[list[Span]]:
    """Return the spans of each trace, in their order."""
    traces: dict[str | None, list[Span]] = {}
    for span in spans:
        traces.setdefault(span.trace, []).append(span)
    return list(traces.values())
