"""A record of a file, and what stands for one that cannot be decoded."""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Record:
    """One record of a file, unchanged."""

    value: Any
    number: int
    line: int | None = None
    key: str | None = None  # its name, where the file is an object of records
    # The file's own fields, which hold for all its records.
    context: dict[str, Any] = field(default_factory=dict)
    whole_file: bool = False  # `value` is a list of all entries of the file
    format: Any = None  # the `Format` that has recognised it, None where none was asked
    plain: list[Any] | None = None  # its messages, normalized, if it is in OpenAI's form with little else
    task_key: str | None = None  # that of `read_trajectories`, for a format whose records hold many tasks
    places: tuple[tuple[int, int | None], ...] = ()  # the number and the line of each entry of a whole file


class BrokenRecordError(Exception):
    """A record cannot be decoded; `line` counts from 1. Reading may go on only after a broken line."""

    def __init__(self, message: str, line: int | None, number: int | None = None) -> None:
        super().__init__(message)
        self.line = line
        self.number = number
