"""Tool calls of any chat dialect -> the one normalized form (`lar.trajectories.schema.ToolCall`)."""

import json
from collections.abc import Iterator
from typing import Any

from lar.errors import TrajectoryError
from lar.trajectories.raw import dig, first_of, first_text
from lar.trajectories.schema import ToolCall

_NAMES = ("name", "tool_name", "toolName", "function_name")
_ARGUMENTS = ("arguments", "args", "parameters", "input", "params", "kwargs")
_IDS = ("id", "call_id", "tool_call_id", "toolCallId")
_PLAIN_KEYS = frozenset(("id", "type", "function"))
_DECODER = json.JSONDecoder()


def to_json(value: Any) -> str:
    """Write `value` as JSON text with the separators that models write."""
    return json.dumps(value, ensure_ascii=False)


def tool_call(call: Any) -> ToolCall:
    """Normalize a tool call, written as OpenAI does (`function`) or flat: {id?, name, arguments}.

    Arguments that are text stay as they are, character for character; absent or empty ones are `{}`.

    Raises:
        TrajectoryError: the call has no name.
    """
    if is_plain_call(call):
        plain = call["function"]
        return {
            "id": call["id"],
            "type": "function",
            "function": {"name": plain["name"], "arguments": plain["arguments"]},
        }
    inner = dig(call, "function")
    function = inner if isinstance(inner, dict) else call
    name = first_text([*(dig(function, key) for key in _NAMES), inner])
    if not name:
        raise TrajectoryError("a tool call without a function name")
    return {
        "id": next((call[key] for key in _IDS if isinstance(call.get(key), str)), None),
        "type": "function",
        "function": {"name": name, "arguments": _arguments(function)},
    }


def is_plain_call(call: Any) -> bool:
    """Whether `call` has OpenAI's form, with an id and with arguments as text, and holds nothing else."""
    function = call.get("function") if type(call) is dict else None
    if type(function) is not dict or len(function) != 2 or not call.keys() <= _PLAIN_KEYS:
        return False
    texts = call.get("id"), function.get("name"), function.get("arguments")
    return all(type(text) is str and text and not text.isspace() for text in texts)


def is_of_program(call: Any) -> bool:
    """Whether a raw call was made by a program that the model wrote, and not by the model itself.

    The model neither writes such a call nor reads its result: the program does (programmatic tool calling of
    Anthropic and of OpenAI's Responses).
    """
    return dig(call, "caller", "type") not in (None, "direct")


def _arguments(function: dict[str, Any]) -> str:
    found = first_of(function, *_ARGUMENTS, default={})
    if isinstance(found, str):
        return found if found.strip() else "{}"
    return to_json(found)


def calls_of(value: Any) -> list[ToolCall]:
    """Normalize the calls of a raw message: `tool_calls`, or OpenAI's older `function_call`.

    Raises:
        TrajectoryError: `tool_calls` is not a list, or a call has no name.
    """
    calls = value.get("tool_calls") or []
    if isinstance(calls, str):
        calls = json.loads(calls)
    if not isinstance(calls, list):
        raise TrajectoryError("tool_calls is not a list")
    if not calls and (older := value.get("function_call")):
        calls = [older]
    return [tool_call(call) for call in calls]


def calls_in_text(text: str) -> list[ToolCall] | None:
    """Read a text that is nothing but calls in JSON: one, a list, or several in a row; None for another text.

    Arguments keep the characters that the text has: `1.50` does not become `1.5`.
    """
    try:
        found = [tool_call(call) for call in _calls(text)]
    except (ValueError, TrajectoryError, RecursionError):
        return None
    return found or None


def _calls(text: str) -> Iterator[dict[str, Any]]:
    position = _skip(text, 0)
    while position < len(text):
        value, end = _DECODER.raw_decode(text, position)
        if isinstance(value, list):
            yield from _calls(_without_commas(text[position + 1 : end - 1]))
        else:
            yield _verbatim(text[position:end], value)
        position = _skip(text, end)


def _without_commas(inner: str) -> str:
    """The elements of a list's text, without the commas between them."""
    parts, position = [], _skip(inner, 0)
    while position < len(inner):
        end = _DECODER.raw_decode(inner, position)[1]
        parts.append(inner[position:end])
        position = _skip(inner, end)
        position = _skip(inner, position + 1) if inner[position : position + 1] == "," else position
    return "\n".join(parts)


def _verbatim(text: str, value: Any) -> dict[str, Any]:
    """The call with its arguments as the text has them."""
    if not isinstance(value, dict):
        raise TrajectoryError("not a tool call")
    if isinstance(value.get("function"), dict):
        inner = dict(members(text))["function"]
        return {**value, "function": _verbatim(inner, value["function"])}
    key = next((key for key in _ARGUMENTS if isinstance(value.get(key), dict)), None)
    return value if key is None else {**value, key: dict(members(text))[key]}


def members(text: str) -> Iterator[tuple[str, str]]:
    """Yield the name of each member of a JSON object and the text of its value, unchanged."""
    position = _skip(text, 1)
    while text[position] != "}":
        key, position = _DECODER.raw_decode(text, position)
        start = _skip(text, _skip(text, position) + 1)
        end = _DECODER.raw_decode(text, start)[1]
        yield key, text[start:end]
        position = _skip(text, end)
        position = _skip(text, position + 1) if text[position] == "," else position


def _skip(text: str, position: int) -> int:
    """The position of the next character that is not white space."""
    while position < len(text) and text[position] in " \t\n\r":
        position += 1
    return position
