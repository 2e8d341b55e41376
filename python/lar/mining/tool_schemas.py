"""The tools of a JSON file: each one's name, and the values that a call to it needs."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lar.errors import OptionError
from lar.trajectories.dialects.utf8 import is_utf8
from lar.utils.paths import StrPath

# Where an interface keeps the schema of a tool's arguments: OpenAI's, Anthropic's, MCP's.
_SCHEMA_KEYS = ("parameters", "input_schema", "inputSchema")

# Values that JSON texts of a type begin and end with. Strings are written without their quotes.
_WORDS = ("k", "Ada", "7", "X9")
_FILLINGS = {
    "string": _WORDS,
    "integer": ("7", "42"),
    "number": ("7", "3.5"),
    "boolean": ("true", "false"),
    "array": ("[1]", '["k"]', '[{"k": 1}]'),
    "object": ("{}", '{"k": 1}', '{"7": "k"}'),
}
_ANY = ('"k"', "7", "true", "null", "[1]", "{}")
_MOST_LEVELS = 100  # within a schema, which is read and written by recursion


@dataclass(frozen=True, slots=True)
class ToolSchema:
    """A tool's name, and the JSON schema of its arguments: an object's schema, or empty."""

    name: str
    parameters: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Slot:
    """A place of a rendered call where the text differs between calls.

    word: the text that stands there in a rendering, found nowhere else. fillings: texts that real calls have
    there.
    """

    word: str
    fillings: tuple[str, ...]


def read_tools(path: StrPath) -> list[ToolSchema]:
    """The tools of a JSON file, each name once, in the file's order.

    The file is a list of tools or an object with the key `tools`. A tool is OpenAI's
    `{"type": "function", "function": {"name", "parameters"}}`, the plain `{"name", "parameters"}`, or has its
    schema under `input_schema` (Anthropic) or `inputSchema` (MCP).

    Raises:
        OptionError: the file is no such list, or two tools with one name differ; the message names the file.
    """
    file = Path(path)
    try:
        value = json.loads(file.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise OptionError(f"{file}: not JSON ({error})") from None
    listed = value.get("tools") if isinstance(value, dict) else value
    if not isinstance(listed, list) or not listed:
        raise OptionError(f"{file}: not a list of tools, nor an object with one under the key tools")
    tools: dict[str, ToolSchema] = {}
    for number, entry in enumerate(listed, start=1):
        try:
            tool = _tool(entry)
        except OptionError as error:
            raise OptionError(f"{file}: tool {number}: {error}") from None
        if tools.setdefault(tool.name, tool) != tool:
            raise OptionError(f"{file}: tool {number}: another tool has the name {tool.name!r}")
    return list(tools.values())


def _tool(entry: Any) -> ToolSchema:
    function = entry.get("function", entry) if isinstance(entry, dict) else None
    name = function.get("name") if isinstance(function, dict) else None
    if not isinstance(function, dict) or not isinstance(name, str) or not name or not is_utf8(name):
        raise OptionError("not an object with a name")
    parameters: Any = next((function[key] for key in _SCHEMA_KEYS if function.get(key) is not None), {})
    if not isinstance(parameters, dict):
        raise OptionError(f"the schema of {name!r} is not an object")
    if _is_deep(parameters):
        raise OptionError(f"the schema of {name!r} is nested deeper than {_MOST_LEVELS} levels")
    tool = ToolSchema(name, parameters)
    example_call(tool)  # what is wrong within the schema
    return tool


def _is_deep(value: Any) -> bool:
    level = [value]
    for _ in range(_MOST_LEVELS):
        nested = [item for item in level if isinstance(item, dict | list)]
        level = [child for item in nested for child in (item.values() if isinstance(item, dict) else item)]
    return bool(level)


def example_call(tool: ToolSchema) -> tuple[dict[str, Any], list[Slot]]:
    """Arguments with the tool's required keys in its schema's order, and a slot for each value in them.

    The value of a slot is its word, as a string or as a number.

    Raises:
        OptionError: the keys, the required keys or the allowed values of an object are not given as JSON
            schemas give them.
    """
    slots: list[Slot] = []
    return _object(tool.parameters, slots), slots


def _object(schema: dict[str, Any], slots: list[Slot]) -> dict[str, Any]:
    properties, required = schema.get("properties") or {}, schema.get("required") or []
    if not isinstance(properties, dict):
        raise OptionError("properties is not an object")
    if not (isinstance(required, list) and all(isinstance(key, str) and is_utf8(key) for key in required)):
        raise OptionError("required is not a list of keys")
    keys = [key for key in properties if key in required]
    keys += [key for key in dict.fromkeys(required) if key not in properties]
    return {key: _value(properties.get(key), slots) for key in keys}


def _value(schema: Any, slots: list[Slot]) -> Any:
    """A value of the schema: fixed where it allows one alone, and with slots for what differs in it."""
    schema = schema if isinstance(schema, dict) else {}
    choices = [schema["const"]] if "const" in schema else schema.get("enum")
    if isinstance(choices, list) and choices:
        if not is_utf8(json.dumps(choices, ensure_ascii=False)):
            raise OptionError("a value of an enum or a const is no text, but half of a character")
        return choices[0] if len(choices) == 1 else _choice(choices, slots)
    kind = _kind(schema)
    if kind == "object" and schema.get("required"):
        return _object(schema, slots)
    # One item is the first of every array, and the last.
    if kind == "array" and isinstance(schema.get("items"), dict):
        return [_value(schema["items"], slots)]
    return _slot(_FILLINGS.get(kind, _ANY), slots, is_text=kind == "string")


def _kind(schema: dict[str, Any]) -> str:
    """The name of the schema's type, the first but null; empty where it has none."""
    kinds = schema.get("type")
    listed = kinds if isinstance(kinds, list) else [kinds]
    named = [kind for kind in listed if isinstance(kind, str) and kind != "null"]
    return named[0] if len(named) == 1 else ""


def _choice(choices: list[Any], slots: list[Slot]) -> Any:
    is_text = all(isinstance(choice, str) for choice in choices)
    written = [json.dumps(choice, ensure_ascii=False) for choice in choices]
    return _slot(tuple(text[1:-1] if is_text else text for text in written), slots, is_text=is_text)


def _slot(fillings: tuple[str, ...], slots: list[Slot], *, is_text: bool) -> Any:
    number = len(slots)
    word = f"larslot{number:04d}x" if is_text else f"9081726354{number:04d}"
    slots.append(Slot(word, fillings))
    return word if is_text else int(word)
