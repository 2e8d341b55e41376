"""Messages of any chat dialect -> the one normalized form (`lar.trajectories.schema.Message`)."""

import json
from typing import Any

from lar.errors import TrajectoryError
from lar.trajectories.schema import ROLES, Message, Role, ToolCall

ROLE_NAMES: dict[str, Role] = {
    **{role: role for role in ROLES},
    "developer": "system",
    "human": "user",
    "environment": "user",
    "env": "user",
    "exit": "user",  # mini-swe-agent's last message
    "gpt": "assistant",
    "ai": "assistant",
    "agent": "assistant",
    "bot": "assistant",
    "model": "assistant",
    "chatgpt": "assistant",
    "function_call": "assistant",
    "function": "tool",
    "function_response": "tool",
    "tool_response": "tool",
    "tool_result": "tool",
    "observation": "tool",
    "ipython": "tool",
}
TEXT_PARTS = ("text", "input_text", "output_text", "refusal")


def is_message(value: Any) -> bool:
    """Whether `value` looks like one message of a chat: {role, content} or {from, value}."""
    if not isinstance(value, dict):
        return False
    role = value.get("role", value.get("from"))
    known = isinstance(role, str) and role.lower() in ROLE_NAMES
    return known and (
        "content" in value or "value" in value or "tool_calls" in value or "function_call" in value
    )


def is_conversation(value: Any) -> bool:
    """Whether `value` is a list that begins with a message."""
    return isinstance(value, list) and bool(value) and is_message(value[0])


def normalize_messages(values: Any) -> list[Message]:
    """Normalize a conversation; raises TrajectoryError, which names the message by its number from 1."""
    if not isinstance(values, list) or not values:
        raise TrajectoryError("no messages")
    messages: list[Message] = []
    for number, value in enumerate(values, start=1):
        try:
            messages += normalize_message(value)
        except TrajectoryError as error:
            raise TrajectoryError(f"message {number}: {error}") from None
    return messages


def normalize_message(value: Any) -> list[Message]:
    """Normalize one message; a message with several tool results as parts gives a message for each."""
    if not isinstance(value, dict):
        raise TrajectoryError(f"expected an object, found {type(value).__name__}")
    role = _role(value)
    content = value["content"] if "content" in value else value.get("value")
    if isinstance(content, list):
        return _from_parts(role, content, value)
    return [_message(role, _text(content), value)]


def _role(value: dict[str, Any]) -> Role:
    name = value.get("role", value.get("from"))
    role = ROLE_NAMES.get(name.lower()) if isinstance(name, str) else None
    if role is None:
        raise TrajectoryError(f"unknown role {name!r}")
    return role


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    return "" if content is None else to_json(content)


def to_json(value: Any) -> str:
    """Write `value` as JSON text with the separators that models write."""
    return json.dumps(value, ensure_ascii=False)


def _message(role: Role, content: str, value: dict[str, Any]) -> Message:
    message: Message = {"role": role, "content": content}
    name, call_id = value.get("name"), value.get("tool_call_id")
    if call_id is None and role == "tool":
        ids = value.get("tool_call_ids")
        call_id = ids[0] if isinstance(ids, list) and ids else value.get("id")
    if isinstance(name, str):
        message["name"] = name
    if isinstance(call_id, str):
        message["tool_call_id"] = call_id
    reasoning = value.get("reasoning_content") or value.get("reasoning")
    if isinstance(reasoning, str) and reasoning:
        message["reasoning_content"] = reasoning
    if calls := _tool_calls(value):
        message["tool_calls"] = calls
    return message


def _tool_calls(value: dict[str, Any]) -> list[ToolCall]:
    calls = value.get("tool_calls") or []
    if not isinstance(calls, list):
        raise TrajectoryError("tool_calls is not a list")
    if not calls and (legacy := value.get("function_call")):
        calls = [legacy]
    return [tool_call(call) for call in calls]


def tool_call(call: Any) -> ToolCall:
    """Normalize a tool call, written as OpenAI does or flat: {id?, name, arguments}."""
    function = call.get("function", call) if isinstance(call, dict) else None
    name = function.get("name") if isinstance(function, dict) else None
    if not isinstance(function, dict) or not isinstance(name, str):
        raise TrajectoryError("a tool call without a function name")
    arguments = function.get("arguments", function.get("input"))
    if not isinstance(arguments, str):
        arguments = to_json({} if arguments is None else arguments)
    identifier = call.get("id")
    return {
        "id": identifier if isinstance(identifier, str) else None,
        "type": "function",
        "function": {"name": name, "arguments": arguments},
    }


def _from_parts(role: Role, parts: list[Any], value: dict[str, Any]) -> list[Message]:
    """Read content as a list of parts, as OpenAI's and Anthropic's interfaces have it."""
    texts: list[str] = []
    thoughts: list[str] = []
    calls: list[ToolCall] = []
    results: list[Message] = []
    for part in parts:
        kind = part.get("type", "text") if isinstance(part, dict) else "text"
        if isinstance(part, str):
            texts.append(part)
        elif not isinstance(part, dict):
            raise TrajectoryError("a content part is neither text nor an object")
        elif kind in TEXT_PARTS:
            texts.append(_text(part.get("text", part.get("refusal"))))
        elif kind == "thinking":
            thoughts.append(_text(part.get("thinking")))
        elif kind == "tool_use":
            calls.append(tool_call(part))
        elif kind == "tool_result":
            inner = {"role": "tool", "content": part.get("content"), "tool_call_id": part.get("tool_use_id")}
            results += normalize_message(inner)
        else:
            raise TrajectoryError(f"a content part of type {kind!r} is not text")
    message = _message(role, "".join(texts), value)
    if thoughts:
        message.setdefault("reasoning_content", "".join(thoughts))
    if calls:
        message["tool_calls"] = message.get("tool_calls", []) + calls
    bare = not (message["content"] or calls or thoughts)
    return results if results and bare else [*results, message]


def check_text(messages: list[Message]) -> None:
    """Raise TrajectoryError where a string cannot be written as UTF-8 (bad bytes, half a character)."""
    for number, message in enumerate(messages, start=1):
        for text in _strings(message):
            if not text.isascii() and not is_utf8(text):
                raise TrajectoryError(f"message {number}: text that is not valid UTF-8")


def _strings(message: Message) -> list[str]:
    strings = [value for value in message.values() if isinstance(value, str)]
    for call in message.get("tool_calls", ()):
        strings += [call["id"] or "", call["function"]["name"], call["function"]["arguments"]]
    return strings


def is_utf8(text: str) -> bool:
    """Whether `text` has no lone surrogate."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
