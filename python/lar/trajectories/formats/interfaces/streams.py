"""Replies that a log has as the events of a stream -> the reply as one object.

Events stand as server-sent text (`data: {...}` lines), as a list of such lines, or as a list of objects.
"""

from collections.abc import Callable, Iterator
from typing import Any

from lar.trajectories.dialects.messages import from_json_text, lines_of

_Event = dict[str, Any]


def whole_reply(value: Any) -> Any:
    """The reply that the events of a stream add up to; `value` itself where it is no stream.

    Streams of Anthropic Messages, OpenAI Responses and OpenAI chat give a message, a response and a message.
    """
    events = _events(value)
    for begins, assemble in _DIALECTS:
        if any(map(begins, events)):
            return assemble(events)
    return value


def _events(value: Any) -> list[_Event]:
    if isinstance(value, list) and value and all(isinstance(line, str) for line in value):
        value = "\n".join(value)
    if isinstance(value, str):
        if "data:" not in value[:4096]:
            return []
        return [event for event in map(_event, lines_of(value)) if event is not None]
    if isinstance(value, dict) and isinstance(value.get("response"), dict) and "type" in value:
        return [value]  # the last event alone
    if not isinstance(value, list):
        return []
    return [inner for event in value if (inner := _inner(event)) is not None]


def _event(line: str) -> _Event | None:
    _, _, data = line.partition("data:")
    event = from_json_text(data.strip()) if line.startswith("data:") else None
    return event if isinstance(event, dict) else None


def _inner(event: Any) -> _Event | None:
    """The event in a wrapping of its own: `{event, data}`, or `{chunk: {...}}`."""
    for key in ("data", "chunk", "event"):
        if isinstance(event, dict) and "type" not in event and isinstance(event.get(key), str | dict):
            event = from_json_text(event[key])
    return event if isinstance(event, dict) else None


def _message(events: list[_Event]) -> Any:
    """A message of Anthropic, its blocks put together."""
    message: dict[str, Any] = {"role": "assistant", "type": "message"}
    blocks: dict[Any, dict[str, Any]] = {}
    for event in events:
        if event.get("type") == "message_start" and isinstance(event.get("message"), dict):
            message |= event["message"]
        elif event.get("type") == "content_block_start" and isinstance(event.get("content_block"), dict):
            blocks[event.get("index")] = dict(event["content_block"])
        elif event.get("type") == "content_block_delta" and isinstance(event.get("delta"), dict):
            _extend(blocks.setdefault(event.get("index"), {"type": "text"}), event["delta"])
    return message | {"content": list(blocks.values())}


def _extend(block: dict[str, Any], delta: dict[str, Any]) -> None:
    for key in ("text", "thinking", "partial_json"):
        piece = delta.get(key)
        if isinstance(piece, str):
            name = "input" if key == "partial_json" else key
            before = block.get(name)
            block[name] = (before if isinstance(before, str) else "") + piece


def _response(events: list[_Event]) -> Any:
    """A response of the Responses interface: that of the last event which has one, or its finished items."""
    response: dict[str, Any] = {"object": "response"}
    items: dict[Any, Any] = {}
    for place, event in enumerate(events):
        if isinstance(event.get("response"), dict):
            response |= event["response"]
        elif event.get("type") == "response.output_item.done":
            items[event.get("output_index", f"event {place}")] = event.get("item")
    return response if response.get("output") else response | {"output": list(items.values())}


def _completion(events: list[_Event]) -> Any:
    """A message of OpenAI chat, from the deltas of its first choice."""
    message: dict[str, Any] = {"role": "assistant", "content": ""}
    calls: list[dict[str, Any]] = []
    known: dict[Any, dict[str, Any]] = {}  # the last call of each index
    for delta in _deltas(events):
        for key in ("content", "reasoning_content", "reasoning", "refusal"):
            if isinstance(delta.get(key), str):
                message[key] = message.get(key, "") + delta[key]
        for call in delta.get("tool_calls") or ():
            index = call.get("index")
            if _begins_call(call, known.get(index)):
                calls.append({"id": None, "name": "", "arguments": ""})
                known[index] = calls[-1]
            _extend_call(known[index], call)
    return message | ({"tool_calls": calls} if calls else {})


def _deltas(events: list[_Event]) -> Iterator[dict[str, Any]]:
    for event in events:
        for choice in event.get("choices") or ():
            if choice.get("index", 0) == 0 and isinstance(choice.get("delta"), dict):
                yield choice["delta"]


def _begins_call(delta: dict[str, Any], known: dict[str, Any] | None) -> bool:
    """Whether a delta begins a call, where `known` is the last one of its index.

    Some servers give every call the index 0, or none, so an id tells calls apart; without both a name does.
    """
    if known is None:
        return True
    if delta.get("id"):
        return bool(known["id"]) and delta["id"] != known["id"]
    return delta.get("index") is None and bool((delta.get("function") or {}).get("name"))


def _extend_call(call: dict[str, Any], delta: dict[str, Any]) -> None:
    function = delta.get("function") or {}
    call["id"] = call.get("id") or delta.get("id")
    call["name"] += function.get("name") or ""
    call["arguments"] += function.get("arguments") or ""


def _is_typed(prefixes: tuple[str, ...]) -> Callable[[_Event], bool]:
    return lambda event: str(event.get("type")).startswith(prefixes)


_DIALECTS: tuple[tuple[Callable[[_Event], bool], Callable[[list[_Event]], Any]], ...] = (
    (_is_typed(("message_start", "content_block_")), _message),
    (_is_typed(("response.",)), _response),
    (lambda event: event.get("object") == "chat.completion.chunk", _completion),
)
