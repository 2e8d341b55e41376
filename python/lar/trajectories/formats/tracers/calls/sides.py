"""The input and the output of a model's call, in any provider's form -> raw messages.

An input is a text, a message, a list of messages or a request: `{messages, system, tools}`, Gemini's
`contents`, the `input` and `instructions` of OpenAI's Responses, the steps of Google's Interactions. An
output is a text, a message, a list of messages or a response: `choices`, `candidates`, `generations`,
`output`, `message`, `steps` and others. Both may be JSON text. What has none of these forms is kept whole: an
input as the user's text, an output as the agent's. An error and embeddings are no answer.
"""

import re
from typing import Any

from lar.errors import TrajectoryError
from lar.trajectories.dialects.calls import to_json
from lar.trajectories.dialects.interactions import has_steps, turns_of_steps
from lar.trajectories.dialects.messages import normalize_messages
from lar.trajectories.dialects.responses import turns_of_items
from lar.trajectories.formats.interfaces.streams import is_cut, whole_reply
from lar.trajectories.formats.tracers.calls.message import (
    ABOUT,
    RESPONSE,
    Side,
    has_items,
    raw_calls,
    read_list,
    read_message,
)
from lar.trajectories.formats.tracers.calls.parts import canonical
from lar.trajectories.raw import from_json_text

_MESSAGES = ("messages", "contents", "input", "prompt", "prompts", "chat_history", "history")
_SYSTEM = ("system", "system_instruction", "systemInstruction", "system_prompt", "instructions")
_TOOLS = ("tools", "functions", "tool_definitions", "function_tools", "toolConfig")
_INNER = ("kwargs", "request", "body", "llm_request", "config", "invocation_params", "data")
_REPLIES = ("message", "messages", "output", "outputs", "response", "completion", "content", "generation")
_TEXTS = ("text", "output_text", "generated_text", "result")
# What a service writes beside the text of an error.
_ABOUT_ERRORS = ABOUT | {"message", "detail", "code", "statusCode", "status_code", "request_id", "traceback"}
_MESSAGE_IN_JSON = re.compile(r'\s*(\[\s*)?\{\s*"(role|messages|choices|parts)"\s*:')
_MOST_ANSWERS = 8  # more texts are the pieces of a stream (BeeAI's spans)


def read_input(value: Any) -> Side:
    """Return the messages of a call's input, and the tools in it."""
    given = _whole_json(value)
    if given is None or given in ("", [], {}):
        return Side()
    return known_input(given) or Side([{"role": "user", "content": _whole(value)}])


def known_input(given: Any) -> Side | None:
    """Return the messages of an input that is a list or an object of a known form; None for any other."""
    if isinstance(given, list):
        return read_list(given, "user")
    if not isinstance(given, dict):
        return None
    message = read_message(given, None)
    return _request(given) if message is None else Side([message])


def _request(given: dict[str, Any]) -> Side | None:
    """Read a request: its messages, its system text and its tools."""
    bodies = [given, *(given[key] for key in _INNER if isinstance(given.get(key), dict))]
    if isinstance(given.get("args"), list) and set(given) <= {"args", "kwargs"}:
        bodies.append({"input": given["args"]})
    found = _first(bodies, _MESSAGES)
    if found is None:
        return None
    inner, system = read_input(found), system_messages(_first(bodies, _SYSTEM))
    return Side(inner.messages, listed(_first(bodies, _TOOLS)) + inner.tools, system + inner.system)


def _first(bodies: list[dict[str, Any]], keys: tuple[str, ...]) -> Any:
    return next((body[key] for body in bodies for key in keys if body.get(key)), None)


def system_messages(value: Any) -> list[Any]:
    """Return the system message in `value`: a text, a list of parts or messages, or a content of Gemini."""
    value = from_json_text(value)
    if not value:
        return []
    if isinstance(value, dict):
        value = value.get("parts") or value.get("content") or [value]
    if not isinstance(value, list):
        return [{"role": "system", "content": value}]
    if any(isinstance(item, dict) and "role" in item for item in value):
        return (read_list(value, "system") or Side()).messages
    return [{"role": "system", "content": [canonical(part) for part in value]}]


def read_output(value: Any) -> Side:
    """Return the messages of a call's output."""
    given = whole_reply(_whole_json(value))
    if given is None or given in ("", [], {}):
        return Side()
    side = read_list(given, "assistant") if isinstance(given, list) else None
    if isinstance(given, dict):
        side = _response(given, was_text=isinstance(value, str))
    if side is None:
        is_none = _is_no_answer(given, was_text=isinstance(value, str))
        return Side() if is_none else Side([{"role": "assistant", "content": _whole(value)}])
    return Side(_chosen(side.messages), side.tools, side.system, is_cut(given))


def _response(given: dict[str, Any], *, was_text: bool) -> Side | None:
    """Read a response; where it `was_text` it may also be JSON that the agent wrote."""
    for several in ("choices", "candidates", "generations"):
        choice = given.get(several)
        while isinstance(choice, list) and choice:
            choice = choice[0]
        if isinstance(choice, dict):
            return _choice(choice)
    if given.get("object") == "interaction" or has_steps(given.get("steps")):
        steps = turns_of_steps(given.get("steps") or given.get("outputs") or [], "assistant")
        return Side(steps, listed(given.get("tools")), system_messages(given.get("system_instruction")))
    if has_items(given.get("output")) or given.get("object") == "response":
        system = system_messages(given.get("instructions"))
        return Side(turns_of_items(given["output"]), listed(given.get("tools")), system)
    if (message := read_message(given, "assistant")) is not None:
        return Side([message])
    calls = given.get("tool_calls") or given.get("toolCalls")
    key = next((key for key in (*_REPLIES, *_TEXTS) if given.get(key)), None)
    if calls and (key is None or isinstance(given[key], str)):
        spoken = given[key] if key else ""
        return Side([{"role": "assistant", "content": spoken, "tool_calls": raw_calls(calls)}])
    others = set(given) - {key}
    if key is None or not others <= ABOUT.union(_REPLIES, _TEXTS):
        return None
    if others & RESPONSE:
        return read_output(given[key])
    if others:
        return None
    return _known_inside(given[key]) if was_text else read_output(given[key])


def _known_inside(value: Any) -> Side | None:
    """Read the only member of JSON text; None where it is no message and no response: the agent wrote it."""
    if isinstance(value, list):
        return None if all(isinstance(one, str) for one in value) else read_list(value, "assistant")
    return _response(value, was_text=True) if isinstance(value, dict) else None


def _is_no_answer(given: Any, *, was_text: bool) -> bool:
    """Whether a response of no known form is an error or holds embeddings: the model has said nothing."""
    if isinstance(given, list):
        return bool(given) and all(_is_no_answer(item, was_text=was_text) for item in given)
    if not isinstance(given, dict):
        return False
    return _is_error(given, was_text=was_text) or _is_embedding(given)


def _is_error(given: dict[str, Any], *, was_text: bool) -> bool:
    """Whether a response is the error of a service; an agent that answers in JSON may write `error` too."""
    if any(given.get(key) for key in (*_REPLIES, *_TEXTS) if key != "message"):
        return False
    error = given.get("error")
    if given.get("object") == "error" or (isinstance(error, dict) and "message" in error):
        return True
    return bool(error) and not was_text and set(given) <= _ABOUT_ERRORS


def _is_embedding(given: dict[str, Any]) -> bool:
    data = given.get("data")
    items = data if given.get("object") == "list" and isinstance(data, list) else [given]
    keys = ("embedding", "embeddings")
    return any(isinstance(item, dict) and any(map(item.get, keys)) for item in items)


def _choice(choice: dict[str, Any]) -> Side:
    """Read a choice, a candidate or a generation: its message, its content or its text."""
    inner = next((choice[key] for key in ("message", "content", "delta") if choice.get(key)), choice)
    if isinstance(inner, dict) and (message := read_message(inner, "assistant")) is not None:
        return Side([message])
    text = choice.get("text") or (inner if isinstance(inner, str) else "")
    return Side([{"role": "assistant", "content": text}]) if text else Side()


def _chosen(messages: list[Any]) -> list[Any]:
    """Keep the first of several answers to one prompt; join a stream."""
    if len(messages) > _MOST_ANSWERS and all(set(message) <= {"role", "content"} for message in messages):
        texts = [message["content"] for message in messages]
        if all(isinstance(text, str) for text in texts):
            return [{"role": "assistant", "content": "".join(texts)}]
    return messages[:1] if len(messages) > 1 and _are_choices(messages) else messages


def _are_choices(messages: list[Any]) -> bool:
    """Whether messages are several answers: each has ended, and they are not the parts of one.

    Some tracers write the thought, the text and the calls of one answer as messages, each with its end.
    """
    ends = [message.get("finish_reason") or message.get("finishReason") for message in messages]
    turns = [normalize_messages([message]) for message in messages] if all(ends) else []
    calls = [any("tool_calls" in one for one in turn) for turn in turns]
    texts = [any(one["content"] for one in turn) for turn in turns]
    if not turns or not all(map(max, calls, texts)):
        return False
    return len(set(map(str, ends))) > 1 or all(calls) or not any(calls)


def listed(value: Any) -> list[Any]:
    """Return `value` (or what its JSON text holds) as a list; an object with `tools` gives those."""
    value = from_json_text(value)
    if isinstance(value, dict):
        inner = value.get("tools")
        value = inner if isinstance(inner, list) else [value]
    return list(value) if isinstance(value, list) else []


def _whole_json(value: Any) -> Any:
    """Return what a JSON text holds; tracers cut long texts off, so that they hold nothing."""
    given = from_json_text(value)
    if isinstance(given, str) and _MESSAGE_IN_JSON.match(given):
        raise TrajectoryError("its messages are JSON that is cut off or broken")
    return given


def _whole(value: Any) -> str:
    """Return a value without a known form as text, its own where it was text."""
    return value if isinstance(value, str) else to_json(value)
