"""The bar of reading and tokenizing logs: trajectories where their number is known, else first bytes."""

from collections.abc import Iterable
from pathlib import Path

from lar.cli.common import Bar
from lar.trajectories import Report
from lar.trajectories.schema import PARQUET_SCHEMA
from lar.utils.paths import is_file


class ReadingBar:
    """Two callbacks that move one bar: `read` for the bytes of the logs, `built` for their trajectories.

    Files of `lar import` (Parquet) have a known number of trajectories. Of others, the bytes are shown while
    they are read, and then the trajectories that `report` has counted.
    """

    def __init__(self, bar: Bar, paths: Iterable[Path | str], report: Report) -> None:
        self._bar = bar
        self._report = report
        self._total = number_of_trajectories(paths)
        self._is_read = self._total is not None
        self._show("tokenizing" if self._is_read else "reading")

    def read(self, done: int, total: int | None) -> None:
        """Report bytes."""
        if self._total is not None or self._is_read:
            return
        self._bar(done, total)
        self._is_read = done == total

    def built(self, done: int, total: int | None) -> None:  # noqa: ARG002 (Progress)
        """Report trajectories, whose total the builder of a corpus does not know."""
        if not self._is_read:
            self._bar.note(f"{done:,} trajectories")
            return
        if self._total is None:
            found = sum(counts.trajectories for counts in self._report.formats.values())
            self._total = max(found - self._report.repeated, done)
            self._show("tokenizing")
        self._bar(done, max(self._total, done))

    def _show(self, label: str) -> None:
        self._bar.phase(label, "bytes" if label == "reading" else "trajectories")


def number_of_trajectories(paths: Iterable[Path | str]) -> int | None:
    """The number of trajectories in files of `lar import`; None if one path is anything else."""
    total = 0
    for path in paths:
        if not isinstance(path, Path) or not is_trajectories(path):
            return None
        import pyarrow.parquet as pq

        total += pq.read_metadata(path).num_rows
    return total


def is_trajectories(file: Path) -> bool:
    """Whether a file is Parquet with the columns of `lar import`."""
    if file.suffix != ".parquet" or not is_file(file):
        return False
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return set(PARQUET_SCHEMA.names) <= set(pq.read_schema(file).names)
    except (pa.ArrowException, OSError):
        return False
