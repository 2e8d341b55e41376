"""Where a log keeps the model's reply apart from the request: the many names and shapes of it."""

from typing import Any

from lar.trajectories.dialects.masked import is_object
from lar.trajectories.dialects.messages import is_conversation, is_message
from lar.trajectories.formats.interfaces.bodies import INNER, reply_body
from lar.trajectories.formats.interfaces.streams import whole_reply
from lar.trajectories.raw import first_object, first_text, from_json_text

REPLIES = ("response", "output", "outputs", "completion", "completions", "reply", "generation", "answer")
_TEXTS = (
    "content",
    "text",
    "generated_text",
    "completion",
    "response",
    "output_text",
    "output",
)


def reply_of(value: dict[str, Any]) -> list[Any]:
    """The raw messages of the reply beside a request; empty where there is none."""
    if reply := _choices(value):
        return reply
    found = (reply for key in REPLIES if (reply := reply_messages(value.get(key))))
    first = next(found, [])
    return next((reply for reply in found if not _is_object(reply)), first) if _is_object(first) else first


def _is_object(reply: list[Any]) -> bool:
    """Whether a reply is a response as Python shows its object; another field may have the text."""
    text = first_object(reply).get("content")
    return isinstance(text, str) and is_object(text)


def reply_messages(value: Any) -> list[Any]:
    """The raw messages of a reply: a text, a message, a list of messages, or a response that holds one."""
    value = whole_reply(reply_body(value))
    if isinstance(value, str):
        return [_said(value)] if value else []
    if is_conversation(value):
        return list(value)
    if isinstance(value, list):
        return reply_messages(value[0]) if len(value) == 1 else []
    if not isinstance(value, dict):
        return []
    if is_message(value):
        return [value]
    if found := _choices(value):
        return found
    return _wrapped(value)


def _wrapped(value: dict[str, Any]) -> list[Any]:
    for key in INNER:
        decode = from_json_text if key == "body" else reply_body
        inner = whole_reply(decode(value.get(key)))
        if isinstance(inner, dict | list) and (found := reply_messages(inner)):
            return found
    if isinstance(value.get("messages"), list):
        return reply_messages(value["messages"])
    if any(value.get(key) for key in ("content", "tool_calls", "function_call")):
        return [{**value, "role": "assistant"}]
    text = first_text(map(value.get, _TEXTS))
    return [] if text is None else [_said(text)]


def _choices(value: dict[str, Any]) -> list[Any]:
    """The message of the first choice of a response in OpenAI's form."""
    first = first_object(value.get("choices"))
    message = first.get("message")
    if isinstance(message, dict):
        return [message if is_message(message) else {"role": "assistant", **message}]
    text = first.get("text")
    return [_said(text)] if isinstance(text, str) and text else []


def _said(text: str) -> dict[str, Any]:
    return {"role": "assistant", "content": text}
