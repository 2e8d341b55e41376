"""Records that could not be read: all are counted by file and reason, the first ones are kept."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

MAX_MESSAGE = 240
OTHER_REASONS = "other reasons"
# What differs between two records with the same fault: numbers, and what is quoted of them.
_PARTICULAR = re.compile(r"\d+|'[^']*'|\"[^\"]*\"")


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


@dataclass(frozen=True, slots=True)
class Place:
    """Where a record stands: its file, number and line, and the latter of each entry that counts as a record.

    What concerns several entries stands in the file.
    """

    path: Path | str  # or a URL
    number: int
    line: int | None
    entries: tuple[tuple[int, int | None], ...] = ()

    def at(self, entry: int | None) -> tuple[int | None, int | None]:
        """The number and the line of the record, or those of one of its entries."""
        if not self.entries:
            return self.number, self.line
        if len(self.entries) == 1:
            return self.entries[0]
        return (None, None) if entry is None else self.entries[entry]

    def of(self, entry: int | None = None) -> str:
        """One line: the place of the record, or of one of its entries."""
        return place_of(self.path, *self.at(entry))

    def problem(self, message: str, entry: int | None = None) -> "Problem":
        """What is wrong there."""
        number, line = self.at(entry)
        return Problem(self.path, message, line, number)


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
        return f"{place_of(self.path, self.record, self.line)}: {self.reason}"

    @property
    def reason(self) -> str:
        """What is wrong, in one line of at most `MAX_MESSAGE` characters."""
        message = " ".join(self.message.split())
        return message if len(message) <= MAX_MESSAGE else message[: MAX_MESSAGE - 1] + "…"

    @property
    def place_in_file(self) -> str:
        """The record and the line; empty where the whole file could not be read."""
        return place_of("", self.record, self.line).removeprefix(", ")


def broken_data(path: Path | str, error: Exception, record: int) -> Problem:
    """A file whose compressed data breaks off before `record`."""
    return Problem(path, f"broken compressed data: {error}", record=record)


@dataclass(slots=True)
class ProblemGroup:
    """The problems of one file that have one reason: how many, and the first.

    Two reasons are one where they differ in numbers or in what they quote. `reason` is the first one's.
    """

    first: Problem
    reason: str
    count: int = 0


@dataclass(slots=True)
class Problems:
    """Counts every problem, by file and reason, and keeps some of them whole.

    records: the first `keep` problems, at most `keep_of_file` of one file. by_file: groups of all problems,
    by the file and by what stands for their reason; those of a file beyond `reasons_of_file` reasons are one
    group, so that a broken file of any size takes little memory.
    """

    keep: int = 100
    keep_of_file: int = 20
    reasons_of_file: int = 50
    count: int = 0
    records: list[Problem] = field(default_factory=list)
    by_file: dict[Path | str, dict[str, ProblemGroup]] = field(default_factory=dict)

    def add(self, problem: Problem) -> None:
        """Count `problem`, and keep it while there is room."""
        self.count += 1
        self._keep(problem)
        self._count(ProblemGroup(problem, problem.reason, 1), _PARTICULAR.sub("#", problem.reason))

    def merge(self, other: "Problems") -> None:
        """Add the problems of `other`, which was read after this one."""
        self.count += other.count
        for problem in other.records:
            self._keep(problem)
        for groups in other.by_file.values():
            for key, group in groups.items():
                self._count(group, key)

    def groups(self) -> Iterator[ProblemGroup]:
        """Yield the groups, file by file; their counts add up to `count`."""
        for groups in self.by_file.values():
            yield from groups.values()

    def _keep(self, problem: Problem) -> None:
        if len(self.records) == self.keep:
            return
        if sum(problem.path == other.path for other in self.records) < self.keep_of_file:
            self.records.append(problem)

    def _count(self, group: ProblemGroup, key: str) -> None:
        groups = self.by_file.setdefault(group.first.path, {})
        reason = group.reason
        if key not in groups and len(groups) >= self.reasons_of_file:
            key = reason = OTHER_REASONS
        groups.setdefault(key, ProblemGroup(group.first, reason)).count += group.count

    def summary(self) -> str:
        """One line: how many, and the first."""
        if not self.count:
            return "no bad records"
        noun = "bad record" if self.count == 1 else "bad records"
        return f"{self.count} {noun}; first: {self.records[0]}" if self.records else f"{self.count} {noun}"
