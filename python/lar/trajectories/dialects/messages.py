"""Messages of any chat dialect -> the one normalized form (`lar.trajectories.schema.Message`)."""

from typing import Any

from lar.errors import TrajectoryError
from lar.trajectories.dialects.calls import calls_in_text, calls_of, is_plain_call, to_json, tool_call
from lar.trajectories.dialects.parts import are_parts, read_parts, text_in
from lar.trajectories.dialects.programs import without_program_calls
from lar.trajectories.raw import dig, first_of
from lar.trajectories.schema import ROLES, Message, Role

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
    "tool_call": "assistant",
    "tool_calls": "assistant",
    "function": "tool",
    "function_response": "tool",
    "tool_response": "tool",
    "tool_result": "tool",
    "toolresult": "tool",
    "observation": "tool",
    "ipython": "tool",
}
_PLAIN_KEYS = frozenset(("role", "content", "name", "tool_call_id", "tool_calls"))
# Roles whose content is a call in JSON.
_CALLING = ("function_call", "tool_call", "tool_calls")
_CONTENT = ("content", "value", "text")
_BODY = (*_CONTENT, "tool_calls", "function_call", "reasoning_content", "reasoning", "refusal")
# What a training library calls a turn that is context only: {key: the value that excludes it}.
_EXCLUDES = ("weight", "loss_weight", "loss", "train", "trainable")


def is_message(value: Any) -> bool:
    """Whether `value` looks like one message of a chat: {role, content} or {from, value}."""
    if not isinstance(value, dict):
        return False
    role = value.get("role", value.get("from"))
    known = isinstance(role, str) and role.lower() in ROLE_NAMES
    return known and any(key in value for key in _BODY)


def is_conversation(value: Any) -> bool:
    """Whether `value` is a list that begins with a message."""
    return isinstance(value, list) and bool(value) and is_message(value[0])


def is_spoken(message: Message) -> bool:
    """Whether a message is a turn of the agent with a text, a thought or a call."""
    said = message["content"] or message.get("tool_calls") or message.get("reasoning_content")
    return message["role"] == "assistant" and bool(said)


def is_own(message: Message) -> bool:
    """Whether a message is a turn that the agent wrote and may learn: its log does not exclude it."""
    return is_spoken(message) and "weight" not in message


def normalize_messages(values: Any) -> list[Message]:
    """Normalize a conversation; raises TrajectoryError, which names the message by its number from 1.

    A call that stands in a message of its own (role `tool_call`) belongs to the turn before it.
    """
    if not isinstance(values, list) or not values:
        raise TrajectoryError("no messages")
    if (plain := plain_messages(values)) is not None:
        return plain
    messages: list[Message] = []
    for number, value in enumerate(without_program_calls(values), start=1):
        try:
            new = normalize_message(value)
        except TrajectoryError as error:
            raise TrajectoryError(f"message {number}: {error}") from None
        if _goes_on(value, new) and messages and messages[-1]["role"] == "assistant":
            messages[-1]["tool_calls"] = [*messages[-1].get("tool_calls", []), *new[0]["tool_calls"]]
        else:
            messages += new
    return messages


def plain_messages(values: Any) -> list[Message] | None:
    """What `normalize_messages` gives for messages in OpenAI's form that hold nothing else; None for others.

    Most logs are of this form, and this takes a tenth of the time.
    """
    if type(values) is not list or not values:
        return None
    messages: list[Message] = []
    for value in values:
        if type(value) is not dict or value.get("role") not in ROLES:
            return None
        content = value.get("content")
        if len(value) == 2 and type(content) is str:
            messages.append({"role": value["role"], "content": content})
        elif (message := _plain(value)) is not None:
            messages.append(message)
        else:
            return None
    return messages if is_message(values[0]) else None


def _plain(value: dict[str, Any]) -> Message | None:
    content = value.get("content")
    if not value.keys() <= _PLAIN_KEYS or not (content is None or type(content) is str):
        return None
    message: Message = {"role": value["role"], "content": content or ""}
    for key in ("name", "tool_call_id"):
        text = value.get(key)
        if type(text) is str:
            message[key] = text
        elif text is not None:
            return None
    calls = value.get("tool_calls")
    if calls:
        if type(calls) is not list or not all(map(is_plain_call, calls)):
            return None
        message["tool_calls"] = [tool_call(call) for call in calls]
    return message if calls is None or calls == [] or "tool_calls" in message else None


def _goes_on(value: Any, messages: list[Message]) -> bool:
    """Whether a message is only a call, of a dialect that writes calls in messages of their own."""
    return _name_of(value) in _CALLING and not messages[0]["content"] and "tool_calls" in messages[0]


def normalize_message(value: Any) -> list[Message]:
    """Normalize one message; tool results among its parts become messages of their own, in their order."""
    if not isinstance(value, dict):
        raise TrajectoryError(f"expected an object, found {type(value).__name__}")
    if _is_note(value):
        return []
    role = _role(value)
    content = first_of(value, *_CONTENT)
    if _name_of(value) in _CALLING and not value.get("tool_calls"):
        text = content if isinstance(content, str) else to_json(content)
        if calls := calls_in_text(text):
            return [_message(role, "", {**value, "tool_calls": calls})]
    if isinstance(content, dict) and ("type" in content or isinstance(content.get("text"), str)):
        content = [content]
    elif isinstance(content, dict) and isinstance(content.get("parts"), list):
        content = content["parts"]  # ChatGPT's export
    if isinstance(content, list):
        parts = [part for part in content if part is not None]
        if are_parts(parts):
            return _from_parts(role, parts, value)
    return [_message(role, _text(content, value), value)]


def _name_of(value: Any) -> str:
    name = value.get("role", value.get("from")) if isinstance(value, dict) else None
    return name.lower() if isinstance(name, str) else ""


def _is_note(value: dict[str, Any]) -> bool:
    """Whether a message is of an unknown role and has nothing in it: Hermes ends a session with one."""
    return bool(_name_of(value)) and _name_of(value) not in ROLE_NAMES and not any(map(value.get, _BODY))


def _role(value: dict[str, Any]) -> Role:
    role = ROLE_NAMES.get(_name_of(value))
    if role is None:
        raise TrajectoryError(f"unknown role {value.get('role', value.get('from'))!r}")
    return role


def _text(content: Any, value: dict[str, Any]) -> str:
    if isinstance(content, str) and content:
        return content
    if content:
        return to_json(content)
    spoken = dig(value, "audio", "transcript")
    return next((text for text in (value.get("refusal"), spoken) if isinstance(text, str)), "")


def _message(role: Role, content: str, value: dict[str, Any], thoughts: str = "") -> Message:
    """Make a message of `value`; `thoughts` are those in its parts, which may stand beside them too."""
    message: Message = {"role": role, "content": content}
    name, call_id = value.get("name"), value.get("tool_call_id")
    if role == "tool":
        call_id = next((found for found in (call_id, *_other_ids(value)) if isinstance(found, str)), None)
        name = value.get("function") if name is None else name
    if isinstance(name, str):
        message["name"] = name
    if isinstance(call_id, str):
        message["tool_call_id"] = call_id
    if reasoning := _reasoning(value, thoughts):
        message["reasoning_content"] = reasoning
    if calls := calls_of(value):
        message["tool_calls"] = calls
    if role == "assistant" and _is_context(value):
        message["weight"] = 0
    return message


def _other_ids(value: dict[str, Any]) -> list[Any]:
    ids = value.get("tool_call_ids")
    return [value.get("call_id"), ids[0] if isinstance(ids, list) and ids else None, value.get("id")]


def _reasoning(value: dict[str, Any], thoughts: str) -> str:
    keys = ("reasoning_content", "reasoning", "thinking", "reasoning_details", "thinking_blocks")
    said = next((text for key in keys if (text := text_in(value.get(key)))), thoughts)
    plan = value.get("tool_plan")  # Cohere: what the model thinks before its calls
    return "\n\n".join(filter(None, (said, plan))) if isinstance(plan, str) else said


def _is_context(value: dict[str, Any]) -> bool:
    """Whether the log excludes this turn from training: `weight: 0`, `loss: false` and the like."""
    return any(value.get(key) is False or value.get(key) == 0 for key in _EXCLUDES if key in value)


def _from_parts(role: Role, parts: list[Any], value: dict[str, Any]) -> list[Message]:
    """Read content as a list of parts, as OpenAI's and Anthropic's interfaces have it."""
    pieces = read_parts(role, parts)
    messages: list[Message] = []
    about_all = {key: value[key] for key in ("role", *_EXCLUDES) if key in value}
    own = next((piece for piece in reversed(pieces) if piece.result is None), None)
    for piece in pieces:
        if piece.result is not None:
            messages += normalize_message(piece.result)
            continue
        fields = value if piece is own else about_all
        message = _message(role, "".join(piece.texts), fields, "".join(piece.thoughts))
        if piece.calls:  # LangChain has the calls of a message twice: as parts, and beside them
            calls = message.get("tool_calls", [])
            ids = {call["id"] for call in calls} - {None}
            message["tool_calls"] = calls + [call for call in piece.calls if call["id"] not in ids]
        messages.append(message)
    return messages


def texts_written(message: Message) -> list[str]:
    """What was written in a message: its content, its thought, and the arguments of its calls."""
    arguments = (call["function"]["arguments"] for call in message.get("tool_calls", ()))
    return [message["content"], message.get("reasoning_content", ""), *arguments]


def bare_calls(message: Message) -> tuple[tuple[str, str], ...]:
    """The calls of a message as they are compared: names, and arguments without white space."""
    calls = (call["function"] for call in message.get("tool_calls", ()))
    return tuple((call["name"], "".join(call["arguments"].split())) for call in calls)


def strings_of(message: Message) -> list[str]:
    """Every string of a message: its text, its names and its calls."""
    strings = [value for value in message.values() if isinstance(value, str)]
    for call in message.get("tool_calls", ()):
        strings += [call["id"] or "", call["function"]["name"], call["function"]["arguments"]]
    return strings
