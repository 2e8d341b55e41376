"""The parts of a log format: recognising a record, and reading it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from lar.trajectories.draft import Draft
from lar.trajectories.json_stream import Record


@dataclass(frozen=True, slots=True)
class Format:
    """One log format: its name on the command line, how to recognise a record, and how to read one."""

    name: str
    title: str  # for people, one line
    recognises: Callable[[Any], bool]
    read: Callable[[Record], Draft]  # may raise what Python raises for malformed data


def has(value: Any, *keys: str) -> bool:
    """Whether `value` is an object with all of `keys`."""
    return isinstance(value, dict) and all(key in value for key in keys)
