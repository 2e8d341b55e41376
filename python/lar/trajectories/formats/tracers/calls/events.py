"""Messages that older conventions put into a span's events, one event each -> a call's input and output."""

from typing import Any

from lar.trajectories.formats.tracers.calls.spans import Span
from lar.trajectories.raw import from_json_text

_ROLES = ("system", "user", "assistant", "tool")
_Event = tuple[str, dict[str, Any]]


def input_events(span: Span) -> Any:
    """Return the input: the messages of its events, or the prompt that one event holds whole."""
    events = _events(span, "events")
    prompt = _whole(events, "gen_ai.content.prompt", "gen_ai.prompt")
    if prompt is not None:
        return prompt
    messages = [_message(fields, role) for name, fields in events if (role := _role(name)) is not None]
    return messages or None


def output_events(span: Span) -> Any:
    """Return the output: the first choice, or the completion that one event holds whole."""
    events = _events(span, "events")
    completion = _whole(events, "gen_ai.content.completion", "gen_ai.completion")
    if completion is not None:
        return completion
    return next((_message(fields, "assistant") for name, fields in events if name == "gen_ai.choice"), None)


def conversation_of(span: Span) -> list[Any] | None:
    """Return the conversation that Pydantic AI writes as events into an agent's span, or None."""
    events = _events(span, "all_messages_events")
    return [_message(fields, _role(name) or "assistant") for name, fields in events] or None


def _events(span: Span, attribute: str) -> list[_Event]:
    """Return the events in an attribute (Logfire writes them there), else the span's own."""
    rows = from_json_text(span.get(attribute))
    if isinstance(rows, list):
        return [(str(row.get("event.name", "")), row) for row in rows if isinstance(row, dict)]
    return span.events if attribute == "events" else []


def _role(name: str) -> str | None:
    role = name.removeprefix("gen_ai.").removesuffix(".message")
    return role if name == f"gen_ai.{role}.message" and role in _ROLES else None


def _whole(events: list[_Event], name: str, attribute: str) -> Any:
    fields = next((fields for event, fields in events if event == name), None)
    return None if fields is None else Span(attributes=fields).indexed(attribute)


def _message(fields: dict[str, Any], role: str) -> Any:
    """Return the message of an event: its fields, or what one of them holds, also as JSON text."""
    body = from_json_text(
        next((fields[key] for key in ("gen_ai.event.content", "body") if key in fields), fields)
    )
    if not isinstance(body, dict):
        return {"role": role, "content": body}
    inner = from_json_text(body.get("message"))
    if isinstance(inner, dict):
        body = inner
    elif inner is not None and "content" not in body:
        body = body | {"content": inner}
    content = from_json_text(body.get("content"))
    raw = {"role": role, "content": content if isinstance(content, list) else body.get("content")}
    if calls := from_json_text(body.get("tool_calls")):
        raw["tool_calls"] = calls
    call_id = body.get("id") or body.get("tool_call_id")
    return raw | {"tool_call_id": call_id} if role == "tool" and call_id else raw
