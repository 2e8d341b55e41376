"""The events of OpenAI's Responses interface -> the response."""

from copy import deepcopy
from typing import Any

from lar.trajectories.formats.interfaces.stream_events import Dialect, Event, is_typed, without_begun_calls
from lar.trajectories.raw import dig

# Deltas of an item's own text, and the member that they add to.
_MEMBERS = {
    "response.function_call_arguments.delta": "arguments",
    "response.mcp_call_arguments.delta": "arguments",
    "response.custom_tool_call_input.delta": "input",
    "response.code_interpreter_call_code.delta": "code",
}
# Deltas of an item's parts: the list of parts, the index in it, and the part that they add to.
_PARTS = {
    "response.output_text.delta": ("content", "content_index", "output_text", "text"),
    "response.refusal.delta": ("content", "content_index", "refusal", "refusal"),
    "response.reasoning_text.delta": ("content", "content_index", "reasoning_text", "text"),
    "response.reasoning_summary_text.delta": ("summary", "summary_index", "summary_text", "text"),
}
# What ends a stream: the kind of an event, or the status of the response in it.
_ENDS = frozenset(("completed", "incomplete", "failed", "cancelled", "done"))


def _response(events: list[Event], is_whole: bool) -> dict[str, Any]:
    """The response of the last event which has one; of a stream that breaks off, its items so far."""
    response: dict[str, Any] = {"object": "response"}
    items: dict[Any, dict[str, Any]] = {}  # by their index in the output
    done: set[Any] = set()
    for place, event in enumerate(events):
        if isinstance(event.get("response"), dict):
            response |= event["response"]
        elif event.get("type") == "response.output_item.done":
            items.pop(None, None)
            done.add(index := event.get("output_index", f"event {place}"))
            items[index] = event["item"]
        elif event.get("type") == "response.output_item.added":
            items[event.get("output_index")] = deepcopy(event["item"])
        else:
            _extend(items, event)
    if response.get("output"):
        return response
    return response | {"output": without_begun_calls(items, done, is_whole)}


def _ends(event: Event) -> bool:
    status = dig(event, "response", "status")
    return status in _ENDS or str(event.get("type")).removeprefix("response.") in _ENDS


def _extend(items: dict[Any, dict[str, Any]], event: Event) -> None:
    """Add a delta to its item; some logs have deltas of a text whose item they left out."""
    kind, piece = event.get("type"), event.get("delta")
    if not isinstance(piece, str):
        return
    if kind in _MEMBERS and event.get("output_index") in items:
        item = items[event.get("output_index")]
        item[_MEMBERS[kind]] = (item.get(_MEMBERS[kind]) or "") + piece
    elif kind in _PARTS:
        members, index, part_kind, text = _PARTS[kind]
        new = {"type": "reasoning"} if "reasoning" in kind else {"type": "message", "role": "assistant"}
        item = items.setdefault(event.get("output_index"), new)
        parts = item.get(members) or []
        item[members] = parts
        while len(parts) <= (event.get(index) or 0):
            parts.append({"type": part_kind, text: ""})
        parts[event.get(index) or 0][text] += piece


RESPONSES = Dialect(is_typed("response."), _ends, _response)
