"""Trajectories out of files of any known format, one after the other."""

import re
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any

from lar.errors import TrajectoryError
from lar.trajectories import json_stream, parquet
from lar.trajectories.files import BROKEN_COMPRESSION, PARQUET, Source, find_sources, open_bytes, read_head
from lar.trajectories.formats import get_format, known_formats, react, recognise
from lar.trajectories.formats.base import Format
from lar.trajectories.json_stream import BrokenRecordError, Record
from lar.trajectories.messages import is_message
from lar.trajectories.problems import BadRecordWarning, Problem, Problems
from lar.trajectories.record import read_record
from lar.trajectories.schema import Trajectory
from lar.utils.progress import Progress, silent

_LINE_NAMES = re.compile(r"\.(jsonl|ndjson|jsonlines)(\.\w+)?$", re.IGNORECASE)
_YAML = re.compile(rb"^(history|messages|conversations|trajectory):|^- role:", re.MULTILINE)
_REPORT_EVERY = 32  # trajectories between two calls of `progress`

_Records = Iterator[Record | BrokenRecordError]


def read_trajectories(
    paths: str | Path | Iterable[str | Path],
    *,
    format: str = "auto",  # noqa: A002 (the word that users expect)
    task_key: str | None = None,
    strict: bool = False,
    problems: Problems | None = None,
    progress: Progress = silent,
) -> Iterator[Trajectory]:
    """Read trajectories from files and folders, compressed (.gz, .zst) or not, with memory for one record.

    `paths` is one path or several; a folder gives every file in it. A URL is read by fsspec (`s3://bucket/logs/`,
    `gs://`, `hf://`), with the package that its protocol needs. `format` is "auto" (each record is
    recognised by what is in it) or a name of `FORMATS`. The task of a trajectory is the field `task_key` of
    its raw record (a dotted path; a text log has `question` and `index`) where that is given, else what its
    format says, else a hash of its first user message.

    A record that cannot be read is added to `problems` and reading goes on; `strict` raises at the first.
    Without `problems` a `BadRecordWarning` at the end says how many there were. `progress` is told the bytes
    read of all bytes.

    Raises:
        FileNotFoundError: a path that is not there. OptionError: an unknown format. MissingExtraError: a URL
        whose protocol needs a package. All three come at once. TrajectoryError: nothing at all could be read;
        it comes while the result is iterated.
    """
    forced = get_format(format)
    sources = find_sources(paths)
    kept = Problems() if problems is None else problems
    return _read_all(sources, _Reader(forced, task_key, strict, kept), progress, warn=problems is None)


def _read_all(
    sources: list[Source], reader: "_Reader", progress: Progress, *, warn: bool
) -> Iterator[Trajectory]:
    before, total, count = 0, sum(source.size for source in sources), 0
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
        first = problems.records[0] if problems.records else "there is no file to read"
        more = f" (and {problems.count - 1} more)" if problems.count > 1 else ""
        raise TrajectoryError(f"no trajectory could be read: {first}{more}")
    if warn and problems.count:
        warnings.warn(problems.summary(), BadRecordWarning, stacklevel=2)


class _Reader:
    """Reads one file after the other and notes what it cannot read."""

    def __init__(self, forced: Format | None, task_key: str | None, strict: bool, problems: Problems) -> None:
        self.forced = forced
        self.task_key = task_key
        self.strict = strict
        self.problems = problems

    def read(self, source: Source) -> Iterator[tuple[Trajectory, int]]:
        """Yield the trajectories of a file, each with how many of the file's bytes have been read."""
        number = 0
        try:
            with open_bytes(source) as (stream, raw):
                for record in self._records(source, stream):
                    number += 1
                    trajectory = self._trajectory(record, source)
                    if trajectory is not None:
                        yield trajectory, raw.tell()
        except BrokenRecordError as error:
            self._note(Problem(source.path, str(error), error.line, error.number))
        except BROKEN_COMPRESSION as error:
            self._note(Problem(source.path, f"broken compressed data: {error}", record=number + 1))

    def _note(self, problem: Problem) -> None:
        self.problems.add(problem)
        if self.strict:
            raise TrajectoryError(str(problem))

    def _records(self, source: Source, stream: IO[bytes]) -> _Records:
        """Yield the raw records of a file of any layout."""
        head = read_head(source)
        hint = _LINE_NAMES.search(source.full_name) is not None
        start = head.removeprefix(b"\xef\xbb\xbf").lstrip()
        if head.startswith(PARQUET):
            return parquet.read_rows(source.path if source.system is None else stream)
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
            self._note(Problem(source.path, str(record), record.line, record.number))
            return None
        try:
            return read_record(record, source.label, forced=self.forced, task_key=self.task_key)
        except TrajectoryError as error:
            message = str(error)
        self._note(Problem(source.path, message, record.line, record.number))
        return None


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
