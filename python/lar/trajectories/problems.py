"""Records that could not be read: all are counted, the first ones are kept."""

from dataclasses import dataclass, field
from pathlib import Path

MAX_MESSAGE = 240


def place_of(path: Path | str, record: int | None, line: int | None) -> str:
    """One line: the file, and the record and the line in it, counted from 1."""
    parts = [str(path)]
    parts += [f"record {record}"] if record is not None else []
    parts += [f"line {line}"] if line is not None else []
    return ", ".join(parts)


def places_of(path: Path | str, records: list[int], lines: list[int]) -> list[str]:
    """`place_of` for each of many lines of a file."""
    name = str(path)
    return [f"{name}, record {record}, line {line}" for record, line in zip(records, lines, strict=True)]


class BadRecordWarning(UserWarning):
    """Some records could not be read, and the caller passed no `Problems` to collect them."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One record (or a whole file) that could not be read, and its place."""

    path: Path | str  # or a URL
    message: str
    line: int | None = None  # counted from 1
    record: int | None = None  # counted from 1

    def __str__(self) -> str:
        """One line: the place, then what is wrong."""
        message = " ".join(self.message.split())
        if len(message) > MAX_MESSAGE:
            message = message[: MAX_MESSAGE - 1] + "…"
        return f"{place_of(self.path, self.record, self.line)}: {message}"


@dataclass(slots=True)
class Problems:
    """Counts every problem and keeps the first `keep` of them, at most `keep_of_file` of one file."""

    keep: int = 100
    keep_of_file: int = 20
    count: int = 0
    records: list[Problem] = field(default_factory=list)

    def add(self, problem: Problem) -> None:
        """Count `problem`, and keep it while there is room."""
        self.count += 1
        if len(self.records) == self.keep:
            return
        if sum(problem.path == other.path for other in self.records) < self.keep_of_file:
            self.records.append(problem)

    def merge(self, other: "Problems") -> None:
        """Add the problems of `other`, which was read after this one."""
        for problem in other.records:
            self.add(problem)
        self.count += other.count - len(other.records)

    def of_each_file(self) -> list[Problem]:
        """Return the first problem of each file."""
        first: dict[Path | str, Problem] = {}
        for problem in self.records:
            first.setdefault(problem.path, problem)
        return list(first.values())

    def summary(self) -> str:
        """One line: how many, and the first."""
        if not self.count:
            return "no bad records"
        noun = "bad record" if self.count == 1 else "bad records"
        return f"{self.count} {noun}; first: {self.records[0]}" if self.records else f"{self.count} {noun}"
