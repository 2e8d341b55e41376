"""Trajectories that a program hands over: objects, dicts, rows of `datasets`, lists of messages.

They go through the same normalization as records of a log, so that `content: null`, content in parts and
padded rows mean here what they mean there.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from lar.errors import TrajectoryError
from lar.trajectories.json_stream import Record
from lar.trajectories.messages import normalize_messages
from lar.trajectories.record import read_record
from lar.trajectories.schema import ROLES, Message, Trajectory


def as_trajectories(values: Iterable[Trajectory | Mapping[str, Any] | list[Any]]) -> Iterator[Trajectory]:
    """Yield each of `values` as a normalized trajectory.

    A value is a `Trajectory`, a list of messages, or a record as a log of a known format holds it.

    Raises:
        TrajectoryError: a value is none of these; the message counts values from 1.
    """
    for number, value in enumerate(values, start=1):
        try:
            yield value if isinstance(value, Trajectory) and _is_normalized(value) else _read(value, number)
        except TrajectoryError as error:
            raise TrajectoryError(f"trajectory {number}: {error}") from None


def _read(value: Any, number: int) -> Trajectory:
    if isinstance(value, Trajectory):
        return replace(value, messages=normalize_messages(value.messages))
    content = {"messages": value} if isinstance(value, list) else value
    content = dict(content) if isinstance(content, Mapping) else content
    return read_record(Record(content, number), "given")


def _is_normalized(trajectory: Trajectory) -> bool:
    return all(map(_is_normalized_message, trajectory.messages))


def _is_normalized_message(message: Message) -> bool:
    """Whether a message already has the one form; to normalize one again would change nothing."""
    return (
        message.get("role") in ROLES
        and isinstance(message.get("content"), str)
        and None not in message.values()
        and all(isinstance(call, dict) and "function" in call for call in message.get("tool_calls", ()))
    )
