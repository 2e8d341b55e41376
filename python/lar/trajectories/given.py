"""Trajectories that a program hands over: objects, dicts, lists of messages, rows of tables and datasets.

They go through the same normalization as records of a log, so `content: null`, content in parts and padded
rows mean here what they mean there.
"""

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import chain
from typing import Any

from lar.errors import TrajectoryError
from lar.trajectories.dialects.messages import is_message, normalize_messages
from lar.trajectories.draft import NO_KEYS, Keys
from lar.trajectories.exact import exact
from lar.trajectories.formats.base import Format
from lar.trajectories.layouts.record import Record
from lar.trajectories.layouts.rows import ArrowStream, rows_of
from lar.trajectories.layouts.values import spelled
from lar.trajectories.record import Found, Reading, read_record
from lar.trajectories.schema import ROLES, Function, Message, ToolCall, Trajectory
from lar.utils.paths import StrPath

# The types of the members of a `Message`.
TYPES: dict[str, type] = {
    "role": str,
    "content": str,
    "name": str,
    "tool_call_id": str,
    "reasoning_content": str,
    "tool_calls": list,
    "weight": int,
}
_CALL, _FUNCTION = ToolCall.__annotations__.keys(), Function.__annotations__.keys()
_OWN = "lar"  # the format of a `Trajectory`
LABEL = "given"  # the source of a trajectory that has no other

Given = Iterable[Trajectory | Mapping[str, Any] | list[Any]] | ArrowStream
"""Trajectories in memory: objects, records or lists of messages; or a table of them."""


def paths_or_rows(source: StrPath | Iterable[StrPath] | Given) -> tuple[list[StrPath], Iterator[Any]]:
    """The files of `source` where it is a path or several, else its rows; the other of the two is empty.

    Raises:
        TrajectoryError: `source` has no rows.
    """
    if isinstance(source, str | os.PathLike):
        return [source], iter(())
    rows = rows_of(source)
    for first in rows:
        if isinstance(first, str | os.PathLike):
            return [first, *rows], iter(())
        return [], chain([first], rows)
    return [], iter(())


def as_trajectories(values: Given) -> Iterator[Trajectory]:
    """Yield each of `values` as a normalized trajectory.

    A value is a `Trajectory`, a list of messages, or a record as a log of a known format holds it.

    Raises:
        TrajectoryError: a value is none of these; the message counts values from 1.
    """
    for number, value in enumerate(rows_of(values), start=1):
        try:
            reading = read_value(value, number)
            if reading.problems:
                raise TrajectoryError(reading.problems[0])
            read = (found.trajectory for found in reading.found)
            kept = [one if one is value else exact(one) for one in read]
        except TrajectoryError as error:
            raise TrajectoryError(f"trajectory {number}: {error}") from None
        yield from kept


def read_value(value: Any, number: int, *, forced: Format | None = None, keys: Keys = NO_KEYS) -> Reading:
    """Read the `number`-th value; a normalized `Trajectory` is returned as it is.

    `forced` and `keys` are those of `read_record`; a `Trajectory` has its task and outcome already.

    Raises:
        TrajectoryError: the value is of no known format, or malformed.
    """
    if isinstance(value, Trajectory):
        kept = value
        if not all(map(_is_normalized, value)):
            kept = replace(value, messages=normalize_messages(value.messages))
        return Reading(_OWN, [Found(kept)], [])
    if is_message(value):
        raise TrajectoryError("one message, not a conversation: give a list of lists of messages")
    return read_record(Record(as_record(value), number), LABEL, forced=forced, keys=keys)


def as_record(value: Any) -> Any:
    """`value` as a log would hold it: messages in a dict, a mapping as a dict, else as it is.

    A row that a database's cursor gave may have decimals and times in its columns.
    """
    if isinstance(value, list):
        return {"messages": value}
    if isinstance(value, Mapping):
        return {name: spelled(item) for name, item in value.items()}
    return value


def _is_normalized(message: Message) -> bool:
    """Whether a message already has the one form; to normalize one again would change nothing."""
    if type(message) is not dict:
        return False
    for name, value in message.items():
        if type(value) is not TYPES.get(name):
            return False
    role = message.get("role")
    if role not in ROLES or "content" not in message:
        return False
    if len(message) == 2:
        return True
    if not (message.get("tool_calls", True) and message.get("reasoning_content", True)):
        return False
    if "weight" in message and (message["weight"] or role != "assistant"):
        return False
    return all(map(_is_normalized_call, message.get("tool_calls", ())))


def _is_normalized_call(call: Any) -> bool:
    if type(call) is not dict or call.keys() != _CALL or call["type"] != "function":
        return False
    name, function = call["id"], call["function"]
    if type(function) is not dict or function.keys() != _FUNCTION or not (name is None or type(name) is str):
        return False
    return all(type(text) is str and text and not text.isspace() for text in function.values())
