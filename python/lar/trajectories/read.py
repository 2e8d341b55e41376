"""Trajectories out of files of any known format, or out of what a program holds, one after the other."""

import logging
import warnings
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lar.errors import TrajectoryError
from lar.trajectories.audit import left_out
from lar.trajectories.files import BROKEN_COMPRESSION, Source, find_sources, open_bytes
from lar.trajectories.formats import get_format
from lar.trajectories.formats.base import Format
from lar.trajectories.given import LABEL, Given, paths_or_rows, read_value
from lar.trajectories.json_stream import BrokenRecordError, Record
from lar.trajectories.problems import BadRecordWarning, Problem, place_of
from lar.trajectories.record import Found, Reading, read_record
from lar.trajectories.records import raw_records
from lar.trajectories.repeats import Repeats
from lar.trajectories.report import Report
from lar.trajectories.schema import PARQUET_SCHEMA, Trajectory
from lar.utils.paths import StrPath
from lar.utils.progress import Progress, silent

logger = logging.getLogger(__name__)

_REPORT_EVERY = 32  # trajectories between two calls of `progress`
_OWN_KEYS = frozenset(PARQUET_SCHEMA.names)


def read_trajectories(
    source: StrPath | Iterable[StrPath] | Given,
    *,
    format: str = "auto",  # noqa: A002 (the word that users expect)
    task_key: str | None = None,
    strict: bool = False,
    report: Report | None = None,
    progress: Progress = silent,
) -> Iterator[Trajectory]:
    """Iterate over the trajectories in files and folders, or in what a program holds in memory.

    One record is in memory at a time. The iterator can be read once: put `list(...)` around it to keep the
    trajectories. All is read before the first trajectory comes, and waits in a temporary file: a log of
    single model calls repeats the history at each call, and of such records only the longest is kept. Records
    that this package has written come at once.

    Args:
        source: one path or several (a folder gives every file in it; .gz and .zst are decompressed). A path
            may be a URL (`s3://bucket/logs/`, `gs://`, `hf://`), which fsspec reads with the package that its
            protocol needs. Or records in memory: an iterable of dicts or of lists of messages, a pandas
            frame, an Arrow table, or a dataset of Hugging Face.
        format: a name of `FORMATS`, by which every record is read; "auto" recognizes each by its content.
        task_key: the dotted path of the field of a raw record that names its task (a text log has
            `question` and `index`). None takes the task that the format gives, else a hash of the first
            user message.
        strict: raise at the first record that cannot be read.
        report: collects what was read, what was left out and which records cannot be read. None: a
            `BadRecordWarning` at the end counts the records that cannot be read.
        progress: called with the bytes read of all bytes; with the records read where there are no files.

    Raises:
        FileNotFoundError: a path is not there. Raised at once.
        OptionError: an unknown format. Raised at once.
        MissingExtraError: the protocol of a URL needs a package. Raised at once.
        TrajectoryError: a URL cannot be listed, or a path is neither a file nor a folder, at once. While
            iterating: no trajectory at all could be read; or one could not, if `strict`.

    >>> logs = [{"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello!"}]}]
    >>> list(lar.read_trajectories(logs))
    [Trajectory(id='given:1', task='first_message:3639efcd08abb273', 2 messages)]
    """
    forced = get_format(format)
    paths, rows = paths_or_rows(source)
    sources = find_sources(paths)
    found = Report() if report is None else report
    reader = _Reader(forced, task_key, strict, found)
    return _read_all(sources, rows, reader, progress, warn=report is None)


def _read_all(
    sources: list[Source], rows: Iterator[Any], reader: "_Reader", progress: Progress, *, warn: bool
) -> Iterator[Trajectory]:
    report, count = reader.report, 0
    with closing(Repeats()) as repeats:
        for item in _items(sources, rows, reader, progress):
            count += 1
            if item.is_own:
                yield item.found.trajectory
            else:
                repeats.add(item.found, item.place)
        for trajectory, is_kept, place in repeats.kept():
            if is_kept:
                yield trajectory
            else:
                report.repeat(place)
    problems = report.problems
    if count == 0:
        first = problems.records[0] if problems.records else "there is nothing to read"
        more = f" (and {problems.count - 1} more)" if problems.count > 1 else ""
        raise TrajectoryError(f"no trajectory could be read: {first}{more}")
    logger.info("read %d trajectories; %s", count - report.repeated, problems.summary())
    if warn and problems.count:
        warnings.warn(problems.summary(), BadRecordWarning, stacklevel=2)


def _items(
    sources: list[Source], rows: Iterator[Any], reader: "_Reader", progress: Progress
) -> Iterator["_Item"]:
    before, total, count = 0, sum(source.size for source in sources), 0
    for item in reader.given(rows):
        count += 1
        if count % _REPORT_EVERY == 0:
            progress(count, None)
        yield item
    for source in sources:
        for item, position in reader.read(source):
            count += 1
            if count % _REPORT_EVERY == 0:
                progress(before + position, total)
            yield item
        before += source.size
        progress(before, total)


@dataclass(frozen=True, slots=True)
class _Item:
    """A trajectory of the log and its place; `is_own`: this package has written the record."""

    found: Found
    place: str
    is_own: bool


class _Reader:
    """Reads records and reports on them."""

    def __init__(self, forced: Format | None, task_key: str | None, strict: bool, report: Report) -> None:
        self.forced = forced
        self.task_key = task_key
        self.strict = strict
        self.report = report

    def read(self, source: Source) -> Iterator[tuple[_Item, int]]:
        """Yield the trajectories of a file, each with how many of the file's bytes have been read."""
        number = 0
        try:
            with open_bytes(source) as (stream, raw):
                for record in raw_records(source, stream, self.forced):
                    number += 1
                    for item in self._items(record, source):
                        yield item, raw.tell()
        except BrokenRecordError as error:
            self._note(Problem(source.path, str(error), error.line, error.number))
        except BROKEN_COMPRESSION as error:
            self._note(Problem(source.path, f"broken compressed data: {error}", record=number + 1))

    def _items(self, record: Record | BrokenRecordError, source: Source) -> Iterator[_Item]:
        if isinstance(record, BrokenRecordError):
            self._note(Problem(source.path, str(record), record.line, record.number))
            return
        try:
            reading = read_record(record, source.label, forced=self.forced, task_key=self.task_key)
        except TrajectoryError as error:
            self._note(Problem(source.path, str(error), record.line, record.number))
            return
        yield from self._reported(reading, record.value, source.path, record.number, record.line)

    def given(self, rows: Iterator[Any]) -> Iterator[_Item]:
        """Yield the trajectories of records in memory."""
        for number, row in enumerate(rows, start=1):
            try:
                reading = read_value(row, number, forced=self.forced, task_key=self.task_key)
            except TrajectoryError as error:
                self._note(Problem(Path(LABEL), str(error), record=number))
            else:
                yield from self._reported(reading, row, Path(LABEL), number, None)

    def _reported(
        self, reading: Reading, value: Any, path: Path | str, number: int, line: int | None
    ) -> Iterator[_Item]:
        """Count what was read and what was left out, and yield the trajectories."""
        for problem in reading.problems:
            self._note(Problem(path, problem, line, number))
        place = place_of(path, number, line)
        is_own = isinstance(value, Trajectory) or (isinstance(value, dict) and value.keys() == _OWN_KEYS)
        counts = self.report.counts(reading.format)
        counts.records += 1
        for found in reading.found:
            counts.add(found.trajectory)
        if not is_own:
            texts = left_out(value, (found.trajectory for found in reading.found))
            self.report.leave_out(reading.format, texts, place)
        yield from (_Item(found, place, is_own) for found in reading.found)

    def _note(self, problem: Problem) -> None:
        self.report.problems.add(problem)
        if self.strict:
            raise TrajectoryError(str(problem))
