"""Bodies of replies that a log keeps as JSON text, told from what an agent wrote in JSON itself."""

from typing import Any

from lar.trajectories.dialects.messages import is_message
from lar.trajectories.dialects.responses import is_item
from lar.trajectories.formats.interfaces.streams import is_event
from lar.trajectories.raw import first_object, from_known_json

INNER = ("body", "message", "output", "response", "result", "data")
"""Members of a response that may hold its message."""

# Members of a service's response, which an agent's own JSON hardly has with such values.
_TEXTS = ("generated_text", "stop_reason", "stopReason", "finish_reason", "finishReason")
_OBJECTS = ("usage", "usageMetadata")
_KINDS = ("response", "interaction", "message", "error", "chat.completion", "text_completion")  # of `object`
_CHOICES = ("choices", "candidates")
_OF_CHOICE = ("message", "delta", "text", "content", *_TEXTS)
_CALLS = ("tool_calls", "toolCalls")
_PARTS = ("text", "thinking", "redacted_thinking", "reasoning", "tool_use", "tool-call", "toolCall")


def reply_body(value: Any) -> Any:
    """A reply, decoded where it is the JSON text of a service's body; other JSON is what the agent wrote."""
    return from_known_json(value, _is_body)


def _is_body(value: Any) -> bool:
    """Whether an object or a list is a response, a message, items, parts or events of a known interface."""
    if isinstance(value, list):
        return bool(value) and all(_is_body(one) or _is_part(one) for one in value)
    if not isinstance(value, dict):
        return False
    if is_message(value) or _is_response(value) or is_event(value) or _is_error(value.get("error")):
        return True
    return any(_is_body(value[key]) for key in INNER if isinstance(value.get(key), dict | list))


def _is_response(value: dict[str, Any]) -> bool:
    if any(isinstance(value.get(key), str) for key in _TEXTS) or value.get("object") in _KINDS:
        return True
    if any(isinstance(value.get(key), dict) for key in _OBJECTS):
        return True
    if any(first_object(value.get(key)).keys() & _OF_CHOICE for key in _CHOICES):
        return True
    return any(first_object(value.get(key)).keys() & {"function", "id", "toolCallId"} for key in _CALLS)


def _is_part(value: Any) -> bool:
    return isinstance(value, dict) and (value.get("type") in _PARTS or is_item(value))


def _is_error(error: Any) -> bool:
    return isinstance(error, dict) and "message" in error
