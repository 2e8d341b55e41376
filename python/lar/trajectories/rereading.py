"""The trajectories of logs as something that can be read more than once: each loop reads the logs again."""

from collections.abc import Callable, Iterator
from copy import deepcopy
from typing import Any

from lar.errors import TrajectoryError
from lar.trajectories.given import paths_or_rows
from lar.trajectories.inputs.files import STDIN, Source
from lar.trajectories.report import Report
from lar.trajectories.schema import Trajectory

_SHOWN = 3  # files that a repr names


class Trajectories:
    """The trajectories of files or of records in memory; each iteration reads them again, one at a time.

    What the first complete iteration gave is counted in the `report` of `read_trajectories`; later ones count
    nothing more. Standard input, and an iterator of records, can be read only once.
    """

    def __init__(
        self,
        sources: list[Source],
        rows: Iterator[Any],
        given: Any,
        report: Report | None,
        read: Callable[[Iterator[Any], Report], Iterator[Trajectory]],
    ) -> None:
        """`rows` are of the records `given`, for the first iteration; `read` reads sources and rows."""
        self._sources = sources
        self._rows: Iterator[Any] | None = rows
        self._given = given
        self._read = read
        self._report = report
        self._before: Report | None = None

    def __iter__(self) -> Iterator[Trajectory]:
        report, self._report = self._report, None  # so that no other iteration counts meanwhile
        if report is not None and self._before is None:
            self._before = deepcopy(report)
        elif report is not None and self._before is not None:
            report.become(self._before)
        try:
            yield from self._read(self._rows_of_iteration(), Report() if report is None else report)
            report = None
        finally:
            if report is not None:  # left early: the next iteration counts anew
                self._report = report

    def _rows_of_iteration(self) -> Iterator[Any]:
        rows, self._rows = self._rows, None
        if rows is not None:
            return rows
        if any(str(source.path) in STDIN for source in self._sources):
            raise TrajectoryError("standard input can be read only once; keep the trajectories in a list")
        if self._sources:
            return iter(())
        if isinstance(self._given, Iterator):
            raise TrajectoryError("an iterator of records can be read only once; give a list of them")
        return paths_or_rows(self._given)[1]

    def __repr__(self) -> str:
        names = [source.label for source in self._sources]
        if not names:
            return "Trajectories(records in memory)"
        more = f", and {len(names) - _SHOWN} more files" if len(names) > _SHOWN else ""
        return f"Trajectories({', '.join(names[:_SHOWN])}{more})"
