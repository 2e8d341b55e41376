"""Bodies of replies that a log keeps as JSON text, told from what an agent wrote in JSON itself."""

from typing import Any

from lar.trajectories.dialects.messages import from_json_text, is_message
from lar.trajectories.dialects.responses import is_item

# Members of a response of a service, which an agent's own JSON hardly has with these types.
_LISTS = ("choices", "candidates", "tool_calls", "toolCalls")
_TEXTS = (
    "object",
    "generated_text",
    "stop_reason",
    "stopReason",
    "finish_reason",
    "done_reason",
    "finishReason",
)
_OBJECTS = ("usage", "usageMetadata")
_FLAGS = ("done",)
_INNER = ("body", "message", "output", "response", "result", "data")
_PARTS = ("text", "thinking", "redacted_thinking", "reasoning", "tool_use", "tool-call", "toolCall")


def reply_body(value: Any) -> Any:
    """A reply, decoded where it is the JSON text of a service's body; other JSON is what the agent wrote."""
    decoded = from_json_text(value)
    return decoded if decoded is value or _is_body(decoded) else value


def _is_body(value: Any) -> bool:
    """Whether an object or a list is a response, a message, items, parts or events of a known interface."""
    if isinstance(value, list):
        return bool(value) and all(_is_body(one) or _is_part(one) for one in value)
    if not isinstance(value, dict):
        return False
    if is_message(value) or is_item(value) or _is_event(value):
        return True
    kinds = ((_LISTS, list), (_TEXTS, str), (_OBJECTS, dict), (_FLAGS, bool))
    if any(isinstance(value.get(key), kind) for keys, kind in kinds for key in keys):
        return True
    inner = (value[key] for key in _INNER if isinstance(value.get(key), dict | list))
    return any(map(_is_body, inner)) or _is_error(value.get("error"))


def _is_part(value: Any) -> bool:
    return isinstance(value, dict) and value.get("type") in _PARTS


def _is_event(value: dict[str, Any]) -> bool:
    """Whether it is an event of a stream: it has a kind with a namespace, or a part that was added."""
    kind = value.get("type")
    return isinstance(kind, str) and ("delta" in value or "_" in kind or kind.startswith("response."))


def _is_error(error: Any) -> bool:
    return isinstance(error, dict) and "message" in error
