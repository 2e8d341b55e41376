"""Records of a log -> trajectories, and a report of what was read, left out and wrong."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lar.errors import TrajectoryError
from lar.trajectories.audit import Audit
from lar.trajectories.draft import Keys, outcome_elsewhere
from lar.trajectories.exact import exact
from lar.trajectories.formats.base import Format
from lar.trajectories.given import LABEL, as_record, read_value
from lar.trajectories.inputs.beside import TRIAL
from lar.trajectories.inputs.compression import BrokenDataError
from lar.trajectories.inputs.eval_archive import samples_of
from lar.trajectories.inputs.files import (
    Opened,
    Source,
    has_archive_name,
    open_source,
    seekable,
    zip_members,
)
from lar.trajectories.layouts.record import BrokenRecordError, Record
from lar.trajectories.layouts.records import Records, raw_records
from lar.trajectories.problems import Place, Problem, broken_data
from lar.trajectories.record import Found, Reading, read_record
from lar.trajectories.redact import Redactor
from lar.trajectories.replaced import replaced_parts
from lar.trajectories.report import Report
from lar.trajectories.schema import PARQUET_SCHEMA, Trajectory

_OWN_KEYS = frozenset(PARQUET_SCHEMA.names)


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
            self.note(broken_data(source.place, error, number))

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
