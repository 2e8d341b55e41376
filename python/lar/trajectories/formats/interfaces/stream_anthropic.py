"""The events of Anthropic's Messages, and of Bedrock's ConverseStream -> the message."""

from collections.abc import Iterator
from typing import Any

from lar.trajectories.formats.interfaces.stream_events import Dialect, Event, is_typed, without_begun_calls
from lar.trajectories.raw import dig


def _message(events: list[Event], is_whole: bool) -> dict[str, Any]:
    """A message of Anthropic, its blocks put together; of several messages the first."""
    message: dict[str, Any] = {"role": "assistant", "type": "message"}
    blocks: dict[Any, dict[str, Any]] = {}
    ended = {event.get("index") for event in events if event.get("type") == "content_block_stop"}
    for event in events:
        if event.get("type") == "message_start" and isinstance(event.get("message"), dict):
            if blocks:  # what the client did between two messages is not here
                break
            message |= event["message"]
        elif event.get("type") == "content_block_start" and isinstance(event.get("content_block"), dict):
            blocks[event.get("index")] = dict(event["content_block"])
        elif event.get("type") == "content_block_delta" and isinstance(event.get("delta"), dict):
            delta = event["delta"]
            new = {"type": "thinking" if "thinking" in delta else "text"}
            _extend(blocks.setdefault(event.get("index"), new), delta)
    return message | {"content": without_begun_calls(blocks, ended, is_whole)}


def _extend(block: dict[str, Any], delta: dict[str, Any]) -> None:
    for key in ("text", "thinking", "partial_json"):
        piece = delta.get(key)
        if isinstance(piece, str):
            name = "input" if key == "partial_json" else key
            before = block.get(name)
            block[name] = (before if isinstance(before, str) else "") + piece


def _converse(events: list[Event], is_whole: bool) -> dict[str, Any]:
    """A message of Anthropic from the events of Bedrock's ConverseStream."""
    return _message([one for event in events for one in _anthropic_event(event)], is_whole)


def _anthropic_event(event: Event) -> Iterator[Event]:
    if isinstance(begun := event.get("contentBlockStart"), dict):
        call = begun["start"].get("toolUse")
        if call is not None:
            block = {"type": "tool_use", "id": call.get("toolUseId"), "name": call.get("name")}
            yield _of_block("content_block_start", begun, {"content_block": block})
    elif isinstance(going := event.get("contentBlockDelta"), dict):
        delta = going["delta"]
        pieces = {
            "text": delta.get("text"),
            "thinking": (delta.get("reasoningContent") or {}).get("text"),
            "partial_json": (delta.get("toolUse") or {}).get("input"),
        }
        said = {name: piece for name, piece in pieces.items() if piece is not None}
        if said:
            yield _of_block("content_block_delta", going, {"delta": said})
    elif isinstance(ended := event.get("contentBlockStop"), dict):
        yield _of_block("content_block_stop", ended, {})


def _of_block(kind: str, event: Event, more: Event) -> Event:
    return {"type": kind, "index": event.get("contentBlockIndex"), **more}


def _ends_message(event: Event) -> bool:
    return event.get("type") == "message_stop" or bool(dig(event, "delta", "stop_reason"))


ANTHROPIC = Dialect(is_typed("message_start", "content_block_"), _ends_message, _message)
CONVERSE = Dialect(
    lambda event: "messageStart" in event or "contentBlockDelta" in event,
    lambda event: "messageStop" in event,
    _converse,
)
