"""Trajectories out of files of any known format, or out of what a program holds, one after the other."""

import logging
import re
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any

from lar.errors import TrajectoryError
from lar.trajectories import json_stream, parquet
from lar.trajectories.compression import BrokenDataError
from lar.trajectories.files import (
    PARQUET,
    Opened,
    Source,
    find_sources,
    has_archive_name,
    open_source,
    seekable,
    zip_members,
)
from lar.trajectories.formats import get_format, known_formats, react, recognise
from lar.trajectories.formats.base import Format
from lar.trajectories.given import LABEL, Given, as_trajectory, paths_or_rows
from lar.trajectories.json_stream import BrokenRecordError, Record
from lar.trajectories.messages import is_message
from lar.trajectories.problems import BadRecordWarning, Problem, Problems
from lar.trajectories.record import read_record
from lar.trajectories.schema import Trajectory
from lar.utils.paths import StrPath
from lar.utils.progress import Progress, silent

logger = logging.getLogger(__name__)

_LINE_NAMES = re.compile(r"\.(jsonl|ndjson|jsonlines)(\.\w+)?$", re.IGNORECASE)
_YAML = re.compile(rb"^(history|messages|conversations|trajectory):|^- role:", re.MULTILINE)
_REPORT_EVERY = 32  # trajectories between two calls of `progress`

_Records = Iterator[Record | BrokenRecordError]


def read_trajectories(
    source: StrPath | Iterable[StrPath] | Given,
    *,
    format: str = "auto",  # noqa: A002 (the word that users expect)
    task_key: str | None = None,
    strict: bool = False,
    problems: Problems | None = None,
    progress: Progress = silent,
) -> Iterator[Trajectory]:
    """Iterate over the trajectories in files and folders, or in what a program holds in memory.

    One record is in memory at a time. The iterator can be read once: put `list(...)` around it to keep the
    trajectories.

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
        problems: collects the records that cannot be read. None: a `BadRecordWarning` at the end counts them.
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
    kept = Problems() if problems is None else problems
    reader = _Reader(forced, task_key, strict, kept)
    return _read_all(sources, rows, reader, progress, warn=problems is None)


def _read_all(
    sources: list[Source], rows: Iterator[Any], reader: "_Reader", progress: Progress, *, warn: bool
) -> Iterator[Trajectory]:
    before, total, count = 0, sum(source.size for source in sources), 0
    for trajectory in reader.given(rows):
        count += 1
        if count % _REPORT_EVERY == 0:
            progress(count, None)
        yield trajectory
    for source in sources:
        for trajectory, position in reader.read(source):
            count += 1
            if count % _REPORT_EVERY == 0:
                progress(before + position, total)
            yield trajectory
        before += source.size
        progress(before, total)
    problems = reader.problems
    if count == 0:
        first = problems.records[0] if problems.records else "there is nothing to read"
        more = f" (and {problems.count - 1} more)" if problems.count > 1 else ""
        raise TrajectoryError(f"no trajectory could be read: {first}{more}")
    logger.info("read %d trajectories; %s", count, problems.summary())
    if warn and problems.count:
        warnings.warn(problems.summary(), BadRecordWarning, stacklevel=2)


class _Reader:
    """Reads records and collects those that it cannot read."""

    def __init__(self, forced: Format | None, task_key: str | None, strict: bool, problems: Problems) -> None:
        self.forced = forced
        self.task_key = task_key
        self.strict = strict
        self.problems = problems

    def read(self, source: Source) -> Iterator[tuple[Trajectory, int]]:
        """Yield the trajectories of a file, each with how many of the file's bytes have been read."""
        number = 0
        broken = None
        try:
            with open_source(source) as opened:
                broken = opened.broken
                if opened.is_archive and has_archive_name(source):
                    yield from self._archive(source, opened)
                    return
                for record in self._records(source, opened):
                    number += 1
                    trajectory = self._trajectory(record, source)
                    if trajectory is not None:
                        yield trajectory, opened.position()
        except (BrokenRecordError, BrokenDataError) as error:
            if isinstance(error, BrokenDataError) or broken is not None:
                message = f"broken compressed data: {broken or error}"
                self._note(Problem(source.place, message, record=number + 1))
            else:
                self._note(Problem(source.place, str(error), error.line, error.number))

    def _archive(self, source: Source, opened: Opened) -> Iterator[tuple[Trajectory, int]]:
        """Yield the trajectories of all files in a zip archive."""
        with seekable(source, opened) as archive:
            members, broken = zip_members(archive)
            before = 0
            for member in members:
                for trajectory, position in self.read(member):
                    yield trajectory, before + position
                before += member.size
            if broken is not None:
                self._note(Problem(source.place, broken))
            elif not members:
                self._note(Problem(source.place, "the archive holds no file"))

    def given(self, rows: Iterator[Any]) -> Iterator[Trajectory]:
        """Yield the trajectories of records in memory."""
        for number, row in enumerate(rows, start=1):
            try:
                trajectory = as_trajectory(row, number, forced=self.forced, task_key=self.task_key)
            except TrajectoryError as error:
                self._note(Problem(Path(LABEL), str(error), record=number))
            else:
                yield trajectory

    def _note(self, problem: Problem) -> None:
        self.problems.add(problem)
        if self.strict:
            raise TrajectoryError(str(problem))

    def _records(self, source: Source, opened: Opened) -> _Records:
        """Yield the raw records of a file of any layout."""
        head, stream = opened.head, opened.stream
        hint = _LINE_NAMES.search(source.full_name) is not None
        start = head.removeprefix(b"\xef\xbb\xbf").lstrip()
        if head.startswith(PARQUET):
            return _parquet_rows(source, opened)
        if not start:
            raise BrokenRecordError("the file is empty", None)
        if b"\x00" in head:
            raise BrokenRecordError(f"binary data; known formats: {known_formats()}", None)
        if react.looks_like_react(head.decode("utf-8", "replace")):
            return react.read_runs(line.decode("utf-8", "surrogateescape") for line in stream)
        if start[:1] in (b"{", b"[") or hint:
            return self._json_records(stream, lines=json_stream.looks_like_lines(start, hint))
        if _YAML.search(head):
            return _yaml_records(stream)
        raise BrokenRecordError(f"not a log of a known format; known: {known_formats()}", 1)

    def _json_records(self, stream: IO[bytes], *, lines: bool) -> _Records:
        if not lines:
            yield from json_stream.read_document(stream, self._is_record, is_message)
            return
        for record in json_stream.read_lines(stream):
            if isinstance(record, BrokenRecordError) or self._is_record(record.value):
                yield record
            else:
                yield from _unpacked(record, self._is_record)

    def _is_record(self, value: Any) -> bool:
        return self.forced.recognises(value) if self.forced else recognise(value) is not None

    def _trajectory(self, record: Record | BrokenRecordError, source: Source) -> Trajectory | None:
        """Make the trajectory of a record, or None with a note of what is wrong with it."""
        if isinstance(record, BrokenRecordError):
            self._note(Problem(source.place, str(record), record.line, record.number))
            return None
        try:
            return read_record(record, source.label, forced=self.forced, task_key=self.task_key)
        except TrajectoryError as error:
            message = str(error)
        self._note(Problem(source.place, message, record.line, record.number))
        return None


def _parquet_rows(source: Source, opened: Opened) -> _Records:
    with seekable(source, opened) as file:
        yield from parquet.read_rows(opened.stream if file.system is not None else file.path)


def _unpacked(record: Record, is_record: Any) -> Iterator[Record]:
    """Yield the records in a value that holds several (a result file on one line), or the value itself."""
    value = record.value
    if isinstance(value, list):
        parts: list[Any] = value
    elif isinstance(value, dict):
        lists = [item for item in value.values() if isinstance(item, list) and item and is_record(item[0])]
        parts = lists[0] if lists else [item for item in value.values() if is_record(item)]
    else:
        parts = []
    if not any(map(is_record, parts)):
        yield record
        return
    context = (
        {key: item for key, item in value.items() if item is not parts} if isinstance(value, dict) else {}
    )
    for part in parts:
        yield Record(part, record.number, record.line, None, context)


def _yaml_records(stream: IO[bytes]) -> _Records:
    """Yield the documents of a YAML file, which is read whole (such files are small)."""
    import yaml  # type: ignore[import-untyped]

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        for number, value in enumerate(yaml.load_all(stream, Loader=loader), start=1):
            yield Record(value, number)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        raise BrokenRecordError(f"not YAML: {error}", mark.line + 1 if mark else None) from None
    except (ValueError, RecursionError, OverflowError) as error:
        raise BrokenRecordError(f"not YAML: {error}", None) from None
