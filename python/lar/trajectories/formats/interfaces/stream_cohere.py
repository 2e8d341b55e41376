"""The events of Cohere's chat (version 2) -> the response."""

from typing import Any

from lar.trajectories.formats.interfaces.stream_events import Dialect, Event, is_complete
from lar.trajectories.raw import dig

_TEXTS = ("text", "thinking", "tool_plan", "arguments")


def _response(events: list[Event], is_whole: bool) -> dict[str, Any]:
    """A response of Cohere: its id, how it ended, and the message that the deltas add up to."""
    response: dict[str, Any] = {"finish_reason": None}
    message: dict[str, Any] = {"role": "assistant"}
    parts: dict[Any, dict[str, Any]] = {}  # by their index; calls are counted apart
    calls: dict[Any, dict[str, Any]] = {}
    ended: set[Any] = set()
    for event in events:
        kind, at, new = event.get("type"), event.get("index"), _new(event)
        if kind == "message-start":
            response["id"] = event.get("id")
        elif kind in ("content-start", "content-delta"):
            own = "thinking" if new["content"].get("thinking") else "text"
            _extend(parts.setdefault(at, {"type": own}), new["content"])
        elif kind == "tool-plan-delta":
            _extend(message, new)
        elif kind == "tool-call-start":
            calls[at] = {**new["tool_calls"], "function": dict(new["tool_calls"]["function"])}
        elif kind == "tool-call-delta":
            _extend(calls[at]["function"], new["tool_calls"]["function"])
        elif kind == "tool-call-end":
            ended.add(at)
        elif kind == "message-end":
            response["finish_reason"] = event["delta"].get("finish_reason")
    message["content"] = list(parts.values())
    kept = [
        call
        for at, call in calls.items()
        if is_whole or at in ended or is_complete(call["function"].get("arguments"))
    ]
    return response | {"message": message | ({"tool_calls": kept} if kept else {})}


def _new(event: Event) -> dict[str, Any]:
    """What an event adds to the message; empty where it adds nothing."""
    message = dig(event, "delta", "message")
    return message if isinstance(message, dict) else {}


def _extend(whole: dict[str, Any], pieces: dict[str, Any]) -> None:
    """Add pieces of a message, a part or a function to its texts; its other members come once."""
    for key, piece in pieces.items():
        if key in _TEXTS and piece is not None:
            whole[key] = (whole.get(key) or "") + piece
        elif piece is not None:
            whole[key] = piece


def _is_mine(event: Event) -> bool:
    # Other interfaces have events of these names, but no message in their delta.
    kinds = ("message-start", "content-", "tool-plan-", "tool-call-")
    return str(event.get("type")).startswith(kinds) and bool(_new(event))


COHERE = Dialect(_is_mine, lambda event: event.get("type") == "message-end", _response)
