"""Calls that Gemini streams in pieces (`streamFunctionCallArguments`) -> whole calls.

A call begins with its name. The parts behind it have no name, and each may bring values of arguments: a path
(`$.recipe.steps[0]`) and a piece of text, a number, a truth value or null.
"""

import re
from copy import deepcopy
from itertools import pairwise
from typing import Any

from lar.trajectories.raw import dig

_STEP = re.compile(r"""\.([^.\[\]]+)|\[(\d+)\]|\['([^']*)'\]|\["([^"]*)"\]""")
_VALUES = ("stringValue", "numberValue", "boolValue", "nullValue")


def join_calls(parts: list[Any], is_whole: bool) -> list[Any]:
    """The parts of a streamed content with the pieces of each call put together.

    Unless the stream `is_whole`, a last call whose end has not come is left out.

    Raises:
        ValueError: the path of an argument has no known form, or two paths contradict each other.
    """
    joined: list[Any] = []
    is_open = False
    for part in parts:
        call = dig(part, "functionCall")
        if not isinstance(call, dict):
            joined.append(part)
            continue
        if call.get("name"):
            joined.append({**part, "functionCall": {**call, "args": deepcopy(call.get("args") or {})}})
        begun = next((one["functionCall"] for one in reversed(joined) if _is_call(one)), None)
        if begun is None:
            raise ValueError("a piece of a call without its beginning")
        for piece in call.get("partialArgs") or ():
            _add(begun["args"], piece)
        is_open = call.get("willContinue") is True
    return _without_last_call(joined) if is_open and not is_whole else joined


def _is_call(part: Any) -> bool:
    return isinstance(dig(part, "functionCall"), dict)


def _without_last_call(parts: list[Any]) -> list[Any]:
    last = max(number for number, part in enumerate(parts) if _is_call(part))
    return parts[:last] + parts[last + 1 :]


def _add(arguments: dict[str, Any], piece: dict[str, Any]) -> None:
    """Put a piece where its path points to; pieces of one text are joined."""
    kind = next((name for name in _VALUES if name in piece), None)
    if kind is None:
        return
    value = None if kind == "nullValue" else piece[kind]
    steps = _steps(piece["jsonPath"])
    holder: Any = arguments
    for step, after in pairwise(steps):
        if not _has(holder, step):
            _put(holder, step, [] if isinstance(after, int) else {})
        holder = holder[step]
    before = holder[steps[-1]] if _has(holder, steps[-1]) else None
    if isinstance(before, str) and isinstance(value, str):
        value = before + value
    _put(holder, steps[-1], value)


def _has(holder: Any, step: str | int) -> bool:
    return step < len(holder) if isinstance(step, int) else step in holder


def _put(holder: Any, step: str | int, value: Any) -> None:
    """Set the member or the element `step`, which may be the one behind the last element."""
    if isinstance(step, int) and step == len(holder):
        holder.append(value)
    else:
        holder[step] = value


def _steps(path: str) -> list[str | int]:
    """The names and the indices of a path, `$.recipe.steps[0]` for instance."""
    found = list(_STEP.finditer(path, 1))
    if not path.startswith("$") or not found or sum(len(step[0]) for step in found) != len(path) - 1:
        raise ValueError(f"an argument with the path {path!r}")
    return [int(step[2]) if step[2] else next(filter(None, step.groups()), "") for step in found]
