"""The messages of Pydantic AI (`all_messages_json`): requests and responses, each a list of parts."""

from typing import Any

from lar.trajectories.dialects.calls import to_json
from lar.trajectories.dialects.messages import normalize_messages
from lar.trajectories.draft import Draft
from lar.trajectories.formats.base import Format
from lar.trajectories.formats.tracers.calls.parts import canonical
from lar.trajectories.layouts.record import Record
from lar.trajectories.raw import first_text, has

_ROLES = {"system-prompt": "system", "user-prompt": "user"}
_RESULTS = ("tool-return", "builtin-tool-return")
_CALLS = ("tool-call", "builtin-tool-call")


def _is_message(value: Any) -> bool:
    if not has(value, "kind", "parts") or value["kind"] not in ("request", "response"):
        return False
    return isinstance(value["parts"], list) and all(has(part, "part_kind") for part in value["parts"])


def _read(record: Record) -> list[Draft]:
    entries = [entry for entry in record.value if _is_message(entry)]
    raw: list[Any] = []
    instructions = next((entry["instructions"] for entry in entries if entry.get("instructions")), None)
    if instructions:
        raw.append({"role": "system", "content": instructions})
    for entry in entries:
        raw += _request(entry) if entry["kind"] == "request" else [_response(entry)]
    model = first_text(entry.get("model_name") for entry in entries)
    return [Draft(normalize_messages(raw), model=model)]


def _request(entry: dict[str, Any]) -> list[Any]:
    return [_asked(part) for part in entry["parts"]]


def _asked(part: dict[str, Any]) -> dict[str, Any]:
    """Return a part of a request as a message: the system's, the user's, a result or a retry."""
    kind, content = part["part_kind"], part.get("content")
    if isinstance(content, list):
        content = [_medium(item) for item in content]
    if kind in _RESULTS or (kind == "retry-prompt" and part.get("tool_name")):
        name, call_id, text = part.get("tool_name"), part.get("tool_call_id"), _result(part.get("content"))
        return {"role": "tool", "name": name, "tool_call_id": call_id, "content": text}
    return {"role": _ROLES.get(kind, "user"), "content": content}


def _result(content: Any) -> str:
    return content if isinstance(content, str) else to_json(content)


def _medium(item: Any) -> Any:
    """Return an item of the user's content in OpenTelemetry's form."""
    return canonical({"type": item.get("kind")} | item) if isinstance(item, dict) else item


def _response(entry: dict[str, Any]) -> dict[str, Any]:
    parts: list[Any] = []
    for part in entry["parts"]:
        kind = part["part_kind"]
        if kind in _CALLS:
            call = {"id": part.get("tool_call_id"), "name": part["tool_name"], "input": part.get("args")}
            parts.append({"type": "tool_use"} | call)
        elif kind in _RESULTS:
            call_id, content = part.get("tool_call_id"), _result(part.get("content"))
            parts.append({"type": "tool_result", "tool_use_id": call_id, "content": content})
        elif kind in ("text", "thinking"):
            parts.append({"type": kind, kind: part.get("content", "")})
    return {"role": "assistant", "content": parts}


FORMAT = Format("pydantic_ai", "Messages of Pydantic AI", _is_message, _read, whole_file=True)
