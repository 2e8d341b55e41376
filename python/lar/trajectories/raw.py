"""Looking into raw values: the objects, texts and numbers of a log as its JSON has them."""

import json
import re
from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

_LINE_BREAK = re.compile(r"[\r\n]+")
_EXACT = 2**53  # below it, a whole number as a float is that number


def has(value: Any, *keys: str) -> bool:
    """Whether `value` is an object with all of `keys`."""
    if not isinstance(value, dict):
        return False
    for key in keys:  # noqa: SIM110 (a third of the time of `all`, and asked for each record and format)
        if key not in value:
            return False
    return True


def dig(value: Any, *keys: str) -> Any:
    """The value at a path of members, or None where one is missing."""
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def first_of(value: dict[str, Any], *keys: str, default: Any = None) -> Any:
    """The first of the members `keys` that is not None; `default` without one."""
    return next((value[key] for key in keys if value.get(key) is not None), default)


def as_list(value: Any) -> list[Any]:
    """A list as it is, nothing for None, and any other value as the only one of a list."""
    return value if isinstance(value, list) else [] if value is None else [value]


def first_object(value: Any) -> dict[str, Any]:
    """The first element of a list where that is an object; empty for anything else."""
    return value[0] if isinstance(value, list) and value and isinstance(value[0], dict) else {}


def either(value: Any, name: str) -> Any:
    """The member `name` of an object, written with underscores or in camel case; None without it.

    >>> [either(part, "file_data") for part in ({"file_data": 1}, {"fileData": 2}, {})]
    [1, 2, None]
    """
    return first_of(value, name, _in_camel_case(name)) if isinstance(value, dict) else None


@cache
def _in_camel_case(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(map(str.capitalize, others))


def value_at(value: Any, path: str, default: Any = None) -> Any:
    """Return what stands at the dotted `path` of a raw value, `default` where there is nothing.

    JSON text on the way is opened, as columns of a table hold it. A flat table may have a column with the
    whole path as its name.

    >>> [value_at(row, "a.b") for row in ({"a": {"b": 5}}, {"a": '{"b": 5}'}, {"a.b": 5}, {"b": 5})]
    [5, 5, 5, None]
    """
    if isinstance(value, dict) and path in value:
        return value[path]
    for step in path.split("."):
        value = from_json_text(value)
        if isinstance(value, dict) and step in value:
            value = value[step]
        elif isinstance(value, list) and step.isdecimal() and int(step) < len(value):
            value = value[int(step)]
        else:
            return default
    return value


def text_at(value: Any, path: str) -> str | None:
    """Return the text or number at the dotted `path` of a raw value, as text; None where there is none."""
    return text_of(value_at(value, path))


def text_of(value: Any) -> str | None:
    """Return a text or a number as text; None for anything else."""
    if isinstance(value, bool | float) and value == value:  # NaN stands for nothing
        return identifier(value) or str(value)
    return identifier(value)


def text_or_none(value: Any) -> str | None:
    """Return `value` where it is a string that is not empty."""
    return value if isinstance(value, str) and value else None


def first_text(values: Iterable[Any]) -> str | None:
    """Return the first of `values` that is a string and not empty."""
    return next(filter(None, map(text_or_none, values)), None)


def identifier(value: Any) -> str | None:
    """Return `value` as a name: a text that is not empty, or a whole number; None for anything else.

    5.0 is 5, as pandas writes it in a column with a gap.

    >>> [identifier(value) for value in ("a", 5, 5.0, 0.5, True, "", None)]
    ['a', '5', '5', None, None, None, None]
    """
    if isinstance(value, float) and value.is_integer() and abs(value) < _EXACT:
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return text_or_none(value)


def from_json_text(value: Any) -> Any:
    """`value` decoded where it is JSON text of an object or a list, else `value` itself."""
    if isinstance(value, str) and value.lstrip()[:1] in ("{", "["):
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            return value
    return value


def from_known_json(value: Any, is_known: Callable[[Any], object]) -> Any:
    """`value` decoded where it is JSON text of what `is_known` takes; other JSON is what someone wrote."""
    decoded = from_json_text(value)
    return decoded if decoded is value or is_known(decoded) else value


def lines_of(text: str) -> list[str]:
    """The lines of `text` that are not empty, parted by line feeds and carriage returns.

    `str.splitlines` also parts at characters such as U+2028, which may stand within a text of JSON.
    """
    return [line for line in _LINE_BREAK.split(text) if line]
