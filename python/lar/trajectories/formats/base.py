"""The parts of a log format: recognising a record, and reading it."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from lar.trajectories.draft import Draft
from lar.trajectories.layouts.record import Record


@dataclass(frozen=True, slots=True)
class Format:
    """One log format: its name on the command line, how to recognise a record, and how to read one.

    A record gives any number of trajectories. With `whole_file` a record is a list of all entries of a file,
    and `recognises` is asked about each entry. With `counts_entries` too, each of these counts as a record.
    """

    name: str
    title: str  # for people, one line
    recognises: Callable[[Any], bool]
    read: Callable[[Record], list[Draft]]  # may raise what Python raises for malformed data
    whole_file: bool = False
    counts_entries: bool = False
    may_be_empty: bool = False  # a record need not be the agent's: it may be the span of a tool
    unwanted: tuple[str, ...] = ()  # paths of texts that are left out on purpose, as the audit names them
    field: str | None = None  # the dotted path that the user has named, which tables of a database have


@dataclass(frozen=True, slots=True)
class TextFormat:
    """A log that is not JSON: how to recognise the start of a file, and how to cut it into records.

    The records are read by the `Format` that recognises them.
    """

    looks_like: Callable[[str], bool]
    read_runs: Callable[[Iterable[str]], Iterator[Record]]
