"""Files -> blocks of work for the processes of an import.

A file is cut into pieces: whole lines, row groups, or the file as a whole. A block is a piece, or small ones
in a row, such as the files of a folder of sessions. How files are cut depends on them alone and not on the
number of processes. Blocks need no order among themselves; what they give is put together in the order of the
blocks.
"""

import shutil
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from lar._core import count_lines
from lar.trajectories.formats.base import Format
from lar.trajectories.inputs.compression import HEAD, Breakable, BrokenDataError
from lar.trajectories.inputs.eval_archive import samples_of
from lar.trajectories.inputs.files import (
    PARQUET,
    Opened,
    Source,
    has_archive_name,
    open_source,
    zip_members,
)
from lar.trajectories.layouts import parquet
from lar.trajectories.layouts.record import BrokenRecordError
from lar.trajectories.layouts.records import are_separate_lines, are_separate_rows
from lar.trajectories.problems import Problem, broken_data

BLOCK = 4 << 20  # bytes of lines
TOGETHER = 1 << 20  # bytes of small pieces that make a block
SMALL_PACKED = 16 << 20  # a compressed file of fewer bytes is unpacked where it is read


@dataclass(frozen=True, slots=True)
class Lines:
    """Whole lines of a file: `size` bytes from `start` on.

    `first_line` and `first_number` are those of the first line and of its record, counted from 1. `done` is
    how many of the file's stored bytes are read with this block. `data` are the lines; with `by_place`,
    another process reads them itself.
    """

    source: Source
    start: int
    size: int
    first_line: int
    first_number: int
    done: int
    data: bytes | None
    by_place: bool

    def read(self) -> bytes:
        """The lines.

        Raises:
            BrokenRecordError: the file has become shorter. What is left may be of another log by now.
        """
        if self.data is not None:
            return self.data
        with self.source.open() as file:
            file.seek(self.start)
            data = file.read(self.size)
        if len(data) < self.size:
            raise BrokenRecordError(
                f"the file was cut while it was read: {len(data):,} of {self.size:,} bytes are left of the"
                " lines from here on, and none of them is read",
                self.first_line,
                self.first_number,
            )
        return data

    def __reduce__(self) -> tuple[Any, ...]:
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return Lines, tuple({**values, "data": None if self.by_place else self.data}.values())


@dataclass(frozen=True, slots=True)
class Rows:
    """Row groups of a Parquet file; `first_number` is the record of the first row, counted from 1."""

    source: Source
    groups: range
    first_number: int
    done: int


@dataclass(frozen=True, slots=True)
class Whole:
    """A file that one process reads as it is."""

    source: Source
    done: int


@dataclass(frozen=True, slots=True)
class Trouble:
    """A file that breaks off here, as a problem to report in its place."""

    problem: Problem
    done: int


Piece = Lines | Rows | Whole | Trouble


@dataclass(frozen=True, slots=True)
class Uncut:
    """A small file, which the process that reads it cuts."""

    source: Source
    done: int


@dataclass(frozen=True, slots=True)
class Block:
    """Pieces and small files that one process reads, in order; there is at least one."""

    parts: tuple[Piece | Uncut, ...]

    @property
    def done(self) -> int:
        """How many of the stored bytes are read with this block."""
        return self.parts[-1].done

    def pieces(self, forced: Format | None, folder: Path) -> Iterator[Piece]:
        """The pieces, with those of the small files: see `pieces_of`."""
        for part in self.parts:
            if isinstance(part, Uncut):
                yield from pieces_of(part.source, forced, folder)
            else:
                yield part


def is_small(block: Block) -> bool:
    """Whether a block is read in less time than a process takes to start."""
    return sum(map(_size, block.parts)) <= 2 * BLOCK


def in_blocks(parts: Iterable[Piece | Uncut]) -> Iterator[Block]:
    """Put parts in a row together, as long as they are small."""
    waiting: list[Piece | Uncut] = []
    held = 0
    for part in parts:
        if waiting and held + _size(part) > TOGETHER:
            yield Block(tuple(waiting))
            waiting, held = [], 0
        waiting.append(part)
        held += _size(part)
    if waiting:
        yield Block(tuple(waiting))


def _size(part: Piece | Uncut) -> int:
    """The bytes of a part, or of the file that it is from."""
    if isinstance(part, Trouble):
        return 0
    return part.size if isinstance(part, Lines) else part.source.size


def parts_of(source: Source, forced: Format | None, folder: Path) -> Iterator[Piece | Uncut]:
    """A file as it is if it is small and can be opened again, else its pieces: see `pieces_of`."""
    if source.reopens and source.size <= TOGETHER:
        yield Uncut(source, source.size)
    else:
        yield from pieces_of(source, forced, folder)


def pieces_of(source: Source, forced: Format | None, folder: Path) -> Iterator[Piece]:
    """Cut a file; `forced` is the format of all records. Copies of piped files are made in `folder`."""
    if source.note is not None:
        yield Whole(source, source.size)  # counted where it would be read
        return
    try:
        with open_source(source) as opened:
            yield from _pieces(source, opened, forced, folder)
    except BrokenDataError as error:
        yield Trouble(broken_data(source.place, error, 1), source.size)


def _pieces(source: Source, opened: Opened, forced: Format | None, folder: Path) -> Iterator[Piece]:
    plain = source.reopens and not opened.packed
    if plain and source.member is None and _is_zip(source, opened):
        yield from _zip_pieces(source, forced, folder)
    elif plain and source.member is None and opened.head.startswith(PARQUET):
        yield from _row_pieces(source, opened, forced)
    elif source.reopens and (opened.packed or source.member) and source.size <= SMALL_PACKED:
        yield Whole(source, source.size)
    elif are_separate_lines(source, opened, forced):
        yield from _line_pieces(source, opened, by_place=source.on_disk and not opened.packed)
    elif source.reopens:
        yield Whole(source, source.size)
    else:
        yield from pieces_of(_copied(source, opened, folder), forced, folder)


def _is_zip(source: Source, opened: Opened) -> bool:
    return opened.is_archive and has_archive_name(source)


def _zip_pieces(source: Source, forced: Format | None, folder: Path) -> Iterator[Piece]:
    members, broken = zip_members(source)
    if samples_of(members) is not None:  # they belong together
        yield Whole(source, source.size)
        return
    for member in members:
        yield from pieces_of(member, forced, folder)
    if broken is not None:
        yield Trouble(Problem(source.place, broken), 0)


def _row_pieces(source: Source, opened: Opened, forced: Format | None) -> Iterator[Piece]:
    file = source.path if isinstance(source.path, Path) else opened.stream
    if not are_separate_rows(file, forced):
        yield Whole(source, source.size)
        return
    try:
        ranges = parquet.group_ranges(file)
    except BrokenRecordError as error:
        yield Trouble(Problem(source.place, str(error), error.line, error.number), source.size)
        return
    first = 1
    for groups, rows in ranges:
        yield Rows(source, groups, first, source.size * groups.stop // max(1, ranges[-1][0].stop))
        first += rows


def _line_pieces(source: Source, opened: Opened, *, by_place: bool) -> Iterator[Piece]:
    stream = Breakable(opened.stream)
    start, line, number = 0, 1, 1
    rest = b""
    try:
        while piece := stream.read(BLOCK):
            cut = piece.rfind(b"\n") + 1
            if not cut:
                rest += piece
                continue
            data, rest = b"".join((rest, memoryview(piece)[:cut])), piece[cut:]
            yield Lines(source, start, len(data), line, number, opened.position(), data, by_place)
            lines, records = count_lines(data)
            start, line, number = start + len(data), line + lines, number + records
    except BrokenDataError as error:
        yield Trouble(broken_data(source.place, error, number), source.size)
    else:
        if rest:
            yield Lines(source, start, len(rest), line, number, source.size, rest, by_place)


def _copied(source: Source, opened: Opened, folder: Path) -> Source:
    """A copy of a piped file on the disk, under its own name in messages."""
    with tempfile.NamedTemporaryFile(dir=folder, delete=False) as copy:
        shutil.copyfileobj(opened.stream, copy, HEAD)
        size = copy.tell()
    return replace(source, path=Path(copy.name), size=size, shown=source.full_name)
