"""The runs that are known to have succeeded, where only those are wanted; the others are counted."""

from collections.abc import Iterable, Iterator
from typing import Protocol, TypeVar


class Run(Protocol):
    """What has an outcome: whether the run solved its task, None where nobody measured it."""

    @property
    def success(self) -> bool | None:
        """The outcome."""


AnyRun = TypeVar("AnyRun", bound=Run)


class Successes:
    """Passes on the runs that succeeded, and counts those that failed and those of unknown outcome.

    >>> successes = Successes()
    >>> logs = [lar.Trajectory(str(n), "t", [], success) for n, success in enumerate([True, False, None])]
    >>> [run.id for run in successes.of(logs)], successes.failed, successes.unknown
    (['0'], 1, 1)
    """

    def __init__(self) -> None:
        self.failed = 0
        self.unknown = 0

    def of(self, runs: Iterable[AnyRun]) -> Iterator[AnyRun]:
        """Yield the runs that succeeded."""
        for run in runs:
            if run.success:
                yield run
            elif run.success is None:
                self.unknown += 1
            else:
                self.failed += 1

    @property
    def left_out(self) -> int:
        """How many runs were not passed on."""
        return self.failed + self.unknown

    def __str__(self) -> str:
        return f"{self.failed:,} failed, and of {self.unknown:,} the outcome is unknown"
