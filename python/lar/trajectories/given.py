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
from lar.trajectories.formats.base import Format
from lar.trajectories.layouts.json_stream import Record
from lar.trajectories.layouts.rows import ArrowStream, rows_of
from lar.trajectories.record import Found, Reading, read_record
from lar.trajectories.schema import ROLES, Message, Trajectory
from lar.utils.paths import StrPath

OWN = "lar"  # the format of a `Trajectory`
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
        except TrajectoryError as error:
            raise TrajectoryError(f"trajectory {number}: {error}") from None
        if reading.problems:
            raise TrajectoryError(f"trajectory {number}: {reading.problems[0]}")
        yield from (found.trajectory for found in reading.found)


def read_value(
    value: Any, number: int, *, forced: Format | None = None, task_key: str | None = None
) -> Reading:
    """Read the `number`-th value; a normalized `Trajectory` is returned as it is.

    `forced` and `task_key` are those of `read_record`; a `Trajectory` has its task already.

    Raises:
        TrajectoryError: the value is of no known format, or malformed.
    """
    if isinstance(value, Trajectory):
        normalized = all(map(_is_normalized, value))
        kept = value if normalized else replace(value, messages=normalize_messages(value.messages))
        return Reading(OWN, [Found(kept)], [])
    if is_message(value):
        raise TrajectoryError("one message, not a conversation: give a list of lists of messages")
    content = {"messages": value} if isinstance(value, list) else value
    content = dict(content) if isinstance(content, Mapping) else content
    return read_record(Record(content, number), LABEL, forced=forced, task_key=task_key)


def _is_normalized(message: Message) -> bool:
    """Whether a message already has the one form; to normalize one again would change nothing."""
    return (
        message.get("role") in ROLES
        and isinstance(message.get("content"), str)
        and None not in message.values()
        and all(_is_normalized_call(call) for call in message.get("tool_calls", ()))
    )


def _is_normalized_call(call: Any) -> bool:
    function = call.get("function") if isinstance(call, dict) else None
    return isinstance(function, dict) and bool(function.get("arguments"))
