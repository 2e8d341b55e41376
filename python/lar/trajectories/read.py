"""Trajectories out of files of any known format, or out of what a program holds, one after the other."""

import logging
import warnings
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

from lar.errors import TrajectoryError
from lar.trajectories.audit import Audit
from lar.trajectories.batches import with_joined_batches
from lar.trajectories.draft import NO_AGENT, Keys, outcome_elsewhere
from lar.trajectories.exact import exact
from lar.trajectories.formats import NO_LIST, ONE_MESSAGE, REPLY_ELSEWHERE, SMALLEST, WHERE_LISTED
from lar.trajectories.formats.base import Format
from lar.trajectories.formats.keyed import format_of
from lar.trajectories.given import LABEL, Given, as_record, paths_or_rows, read_value
from lar.trajectories.inputs.beside import TRIAL
from lar.trajectories.inputs.compression import BrokenDataError
from lar.trajectories.inputs.eval_archive import samples_of
from lar.trajectories.inputs.files import (
    Opened,
    Source,
    find_sources,
    has_archive_name,
    open_source,
    seekable,
    zip_members,
)
from lar.trajectories.layouts.json_stream import BrokenRecordError, Record
from lar.trajectories.layouts.records import Records, raw_records
from lar.trajectories.long_turns import LongTurns, long_turns
from lar.trajectories.openings import opening
from lar.trajectories.problems import BadRecordWarning, Place, Problem
from lar.trajectories.record import Found, Reading, read_record
from lar.trajectories.redact import Redactor
from lar.trajectories.repeats import Repeats
from lar.trajectories.replaced import replaced_parts
from lar.trajectories.report import Report
from lar.trajectories.rereading import Trajectories
from lar.trajectories.schema import PARQUET_SCHEMA, Trajectory
from lar.trajectories.waiting import WaitingRows
from lar.utils.files import temporary_files, temporary_folder
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
    success_key: str | None = None,
    messages_key: str | None = None,
    reply_key: str | None = None,
    strict: bool = False,
    redact: Redactor | None = None,
    report: Report | None = None,
    progress: Progress = silent,
) -> Trajectories:
    """The trajectories in files and folders, or in what a program holds in memory, to iterate over.

    One record is in memory at a time. Each iteration reads the logs again: put `list(...)` around it to keep
    the trajectories. All is read before the first trajectory comes, and waits in a temporary file: a log of
    single model calls repeats the history at each call, and of such records only the longest is kept. Records
    that this package has written come at once.

    Args:
        source: one path or several: a file, compressed or not, a folder, a pattern, a zip archive, or "-" for
            standard input. A path may be a URL (`s3://bucket/logs/`, `gs://`, `hf://`), which fsspec reads
            with the package that its protocol needs. Or records in memory: an iterable of dicts or of lists
            of messages, a pandas frame, an Arrow table, or a dataset of Hugging Face.
        format: a name of `FORMATS`, by which every record is read; "auto" recognizes each by its content.
        task_key: the dotted path of the field of a raw record that names its task (a text log has
            `question` and `index`). None takes the task that the format gives, else a hash of what the first
            user message asks, without boilerplate (times, folders, project rules). In a file with one message
            a line, messages of different tasks are different trajectories.
        success_key: the dotted path of the field of a raw record that tells whether the run succeeded: a
            truth value or a number (1 or more is success), perhaps as text, or a word such as "yes", "failed"
            or "success". Where it is missing or null, the outcome is unknown; another value is a bad record.
            None takes the outcome that the format gives.
        messages_key: for logs of no known format, the dotted path of the field of a raw record that holds the
            conversation: a list of messages of any interface, a request that holds one, these as JSON text,
            or a text, which is one message of the user. A record without it is a bad record.
        reply_key: the dotted path of the field with the model's reply to it: a text, a message, a choice, a
            response, parts of content, or these as JSON text. It becomes the agent's last turn. An empty
            one is a call without content, a record without the field is a bad record. None: the
            conversation has its last turn.
        strict: raise at the first record that cannot be read.
        redact: replaces private values (e-mail addresses, phone numbers, keys, tokens) by placeholders.
        report: collects what was read, what was left out and which records cannot be read; the first complete
            iteration is counted. None: a `BadRecordWarning` at the end of each counts the records that cannot
            be read.
        progress: called with the bytes read of all bytes; with the records read where there are no files.

    Raises:
        FileNotFoundError: a path is not there. Raised at once.
        OptionError: an unknown format, a format beside a messages key, or a reply key without one. Raised at
            once.
        MissingExtraError: the protocol of a URL needs a package. Raised at once.
        TrajectoryError: a URL cannot be listed, or a path is neither a file nor a folder, at once. While
            iterating: no trajectory at all could be read; or one could not, if `strict`.

    >>> logs = [{"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello!"}]}]
    >>> list(lar.read_trajectories(logs))
    [Trajectory(id='given:1', task='first_message:3639efcd08abb273', 2 messages)]
    """
    keys = Keys(task_key, success_key, messages_key, reply_key)
    forced = format_of(format, keys)
    paths, rows = paths_or_rows(source)
    beside = Report()
    sources = find_sources(paths, beside.pass_over)

    def read(rows: Iterator[Any], found: Report) -> Iterator[Trajectory]:
        found.merge(beside)
        reader = Reader(forced, keys, strict, found, redact)
        return _read_all(sources, rows, reader, progress, warn=report is None)

    return Trajectories(sources, rows, source, report, read)


def _read_all(
    sources: list[Source], rows: Iterator[Any], reader: "Reader", progress: Progress, *, warn: bool
) -> Iterator[Trajectory]:
    report, count = reader.report, 0
    with closing(WaitingRows()) as rows_read, temporary_folder() as folder:
        if reader.forced is None:
            with temporary_files():
                sources = with_joined_batches(sources, reader.note, folder)
        openings = bytearray()
        for item in _items(sources, rows, reader, progress):
            count += 1
            if item.is_own:
                yield item.found.trajectory
            else:
                rows_read.add(item.found.trajectory, item.place)
                openings += opening(item.found)
        repeats, turns = Repeats(rows_read, bytes(openings), report), LongTurns()
        for number, repeated in enumerate(repeats.repeated):
            trajectory, place = rows_read.read(number)
            if repeated:
                report.repeat(place)
            else:
                kept = repeats.restored(number, trajectory, place)
                turns.add(long_turns(kept) if repeats.is_call(number) else [])
                yield kept
        turns.count(report)
    problems = report.problems
    check_count(count, report)
    logger.info("read %d trajectories; %s", count - report.repeated, problems.summary())
    if warn and problems.count:
        warnings.warn(problems.summary(), BadRecordWarning, stacklevel=3)
    for doubt in report.doubts() if warn else ():
        logger.warning("%s", doubt)


def check_count(count: int, report: Report) -> None:
    """Raise TrajectoryError, with the first problem, where the `count` of trajectories is 0."""
    problems = report.problems
    if count == 0:
        first = next(chain(problems.records, report.doubts()), "there is nothing to read")
        more = f" (and {problems.count - 1} more)" if problems.count > 1 else ""
        hint = f"; {ONE_MESSAGE}" if NO_LIST in str(first) else ""
        hint += f"; {SMALLEST}" if WHERE_LISTED in str(first) else ""
        hint = f"; {REPLY_ELSEWHERE}" if str(first).endswith(NO_AGENT) else hint
        raise TrajectoryError(f"no trajectory could be read: {first}{more}{hint}")


def _items(
    sources: list[Source], rows: Iterator[Any], reader: "Reader", progress: Progress
) -> Iterator["Item"]:
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
class Item:
    """A trajectory of the log, its place there and the number of its record.

    `is_own`: this package has written the record.
    """

    found: Found
    place: str
    number: int
    is_own: bool


@dataclass(frozen=True, slots=True)
class _Around:
    """The fields around records of a file, and the last of these records."""

    fields: dict[str, Any]
    reading: Reading
    place: str


class Reader:
    """Reads records and reports on them."""

    def __init__(
        self,
        forced: Format | None,
        keys: Keys,
        strict: bool,
        report: Report,
        redact: Redactor | None = None,
    ) -> None:
        self.forced = forced
        self.keys = keys
        self.strict = strict
        self.report = report
        self.redact = redact
        self._around: _Around | None = None

    def read(self, source: Source) -> Iterator[tuple[Item, int]]:
        """Yield the trajectories of a file, each with how many of the file's bytes have been read."""
        if source.note is not None:
            self.report.pass_over(source.note, source.full_name)
            return
        broken = None
        try:
            with open_source(source) as opened:
                broken = opened.broken
                if opened.is_archive and has_archive_name(source):
                    yield from self._archive(source, opened)
                    return
                for item in self.records(raw_records(source, opened, self.forced), source):
                    yield item, opened.position()
        except (BrokenRecordError, BrokenDataError) as error:  # raised before the first record
            self._break(source, broken or error, 1)

    def records(self, records: Records, source: Source) -> Iterator[Item]:
        """Yield the trajectories of records of a file, up to the place where it breaks."""
        number = 0
        try:
            for record in records:
                number += 1
                yield from self.items(record, source)
        except (BrokenRecordError, BrokenDataError) as error:
            self._break(source, error, number + 1)
        self._report_around(None)

    def _break(self, source: Source, error: BrokenRecordError | BrokenDataError, number: int) -> None:
        if isinstance(error, BrokenRecordError):
            self.note(Problem(source.place, str(error), error.line, error.number))
        else:
            self.note(Problem(source.place, f"broken compressed data: {error}", record=number))

    def _archive(self, source: Source, opened: Opened) -> Iterator[tuple[Item, int]]:
        """Yield the trajectories of all files in a zip archive."""
        with seekable(source, opened) as archive:
            members, broken = zip_members(archive)
            if (samples := samples_of(members)) is not None:
                yield from ((item, 0) for item in self.records(samples, source))
            else:
                yield from self._members(members)
            if broken is not None:
                self.note(Problem(source.place, broken))
            elif not members:
                self.note(Problem(source.place, "the archive holds no file"))

    def _members(self, members: list[Source]) -> Iterator[tuple[Item, int]]:
        before = 0
        for member in members:
            for item, position in self.read(member):
                yield item, before + position
            before += member.size

    def items(self, record: Record | BrokenRecordError, source: Source) -> Iterator[Item]:
        """Yield the trajectories of a record of a file."""
        if isinstance(record, BrokenRecordError):
            self.note(Problem(source.place, str(record), record.line, record.number))
            return
        try:
            reading = read_record(record, source.label, forced=self.forced, keys=self.keys)
        except TrajectoryError as error:
            self.note(Problem(source.place, str(error), record.line, record.number))
            return
        place = Place(source.place, record.number, record.line, reading.places)
        if record.context:
            self._report_around(_Around(record.context, reading, place.of()))
        yield from self._reported(reading, record.value, place)

    def _report_around(self, following: "_Around | None") -> None:
        """Count what the fields around the records hold, once they are complete: when others follow."""
        around = self._around
        self._around = following
        if around is None or (following is not None and following.fields is around.fields):
            return
        fields = {name: value for name, value in around.fields.items() if name != TRIAL}
        texts = Audit([found.trajectory for found in around.reading.found]).left_out(fields)
        named = {f"(file).{path}": characters for path, characters in texts.items()}
        self.report.leave_out(around.reading.format, named, around.place)

    def given(self, rows: Iterator[Any]) -> Iterator[Item]:
        """Yield the trajectories of records in memory."""
        for number, row in enumerate(rows, start=1):
            try:
                reading = read_value(row, number, forced=self.forced, keys=self.keys)
            except TrajectoryError as error:
                self.note(Problem(Path(LABEL), str(error), record=number))
            else:
                yield from self._reported(reading, as_record(row), Place(Path(LABEL), number, None))

    def _reported(self, reading: Reading, value: Any, place: Place) -> Iterator[Item]:
        """Count what was read and what was left out, and yield the trajectories."""
        for problem in reading.problems:
            self.note(place.problem(problem))
        if self.keys.success is not None and self.report.outcome_elsewhere is None:
            self.report.outcome_elsewhere = outcome_elsewhere(value, self.keys.success)
        if reading.fused_by is not None:
            self.report.fuse(*reading.fused_by, place.path)
        if reading.without_content:
            self.report.miss_content(reading.without_content, place.of(reading.first_without))
        kept = list(self._exact(reading, place))
        is_own = isinstance(value, Trajectory) or (isinstance(value, dict) and value.keys() == _OWN_KEYS)
        counts = self.report.counts(reading.format)
        counts.records += len(reading.places) or 1
        for found in kept:
            counts.add(found.trajectory)
            if found.is_cut:
                self.report.cut_stream(place.of(found.entry))
            if found.is_rendered:
                self.report.render(place.of(found.entry))
        if not is_own:
            self._audit(reading, value, place)
        for found in kept:
            yield Item(self._redacted(found), place.of(found.entry), place.number, is_own)

    def _audit(self, reading: Reading, value: Any, place: Place) -> None:
        """Count what of a record, or of each entry that counts as one, no trajectory has."""
        if reading.is_plain:
            value = {**value, "messages": None}
        entries = value if reading.places else [value]
        trajectories = [found.trajectory for found in reading.found]
        audit = Audit(trajectories)
        for entry, raw in enumerate(entries):
            if texts := audit.left_out(raw):
                self.report.leave_out(reading.format, texts, place.of(entry))
        if not reading.is_plain:
            self.report.replace(replaced_parts(value, trajectories), place.of())

    def _exact(self, reading: Reading, place: Place) -> Iterator[Found]:
        for found in reading.found:
            try:
                trajectory = exact(found.trajectory)
            except TrajectoryError as error:
                self.note(place.problem(str(error), found.entry))
            else:
                yield replace(found, trajectory=trajectory)

    def _redacted(self, found: Found) -> Found:
        if self.redact is None:
            return found
        redacted = replace(found, trajectory=self.redact(found.trajectory))
        self.report.redacted.update(self.redact.counts)
        self.redact.counts.clear()
        return redacted

    def note(self, problem: Problem) -> None:
        """Count a problem; raises TrajectoryError if reading is strict."""
        self.report.problems.add(problem)
        if self.strict:
            raise TrajectoryError(str(problem))
