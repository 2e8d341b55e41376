"""What a block of an import gives: encoded trajectories in a file, and a few bytes of each in memory."""

import gc
import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from uuid import uuid4

import numpy as np
import pyarrow as pa

from lar.trajectories import buffers
from lar.trajectories.blocks import Block, Lines, Piece, Rows, Trouble, Whole
from lar.trajectories.chat_lines import ChatLines
from lar.trajectories.dialects.messages import is_own
from lar.trajectories.dialects.utf8 import is_utf8
from lar.trajectories.digests import Digests
from lar.trajectories.draft import NO_KEYS, Keys
from lar.trajectories.formats.interfaces import chat
from lar.trajectories.formats.keyed import format_of
from lar.trajectories.groups import characters_of, grouped
from lar.trajectories.inputs.files import Source
from lar.trajectories.layouts import json_stream, parquet
from lar.trajectories.layouts.record import BrokenRecordError, Record
from lar.trajectories.layouts.records import Records, each_record
from lar.trajectories.long_turns import long_turns
from lar.trajectories.openings import OPENING, opening
from lar.trajectories.problems import places_of
from lar.trajectories.reader import Item, Reader
from lar.trajectories.record import Found
from lar.trajectories.redact import Redactor
from lar.trajectories.report import Report
from lar.trajectories.schema import Trajectory
from lar.trajectories.write import GROUP_CHARACTERS, GROUP_TRAJECTORIES, Encoding, encoding_of
from lar.utils.paths import printable

# Columns beside the encoded trajectories.
_EXTRA = ("_place", "_task", "_success", "_messages", "_characters", "_turns", "_long", "_digests", "_own")
_LONG = pa.list_(pa.int64())  # of the `long_turns` of a call; null for other trajectories


@dataclass(frozen=True, slots=True)
class Options:
    """How all blocks of an import are read (see `read_trajectories`), and the kind of file they are for."""

    format: str
    keys: Keys
    strict: bool
    redact: Redactor | None
    kind: str
    folder: Path


@dataclass(frozen=True, slots=True)
class Spooled:
    """The trajectories of a block, in a file: their `openings`, and of each whether this package wrote it."""

    path: Path | None
    count: int
    openings: bytes
    own: bytes
    report: Report
    done: int


def read_block(options: Options, block: Block) -> Spooled:
    """Read a block into a file of its own.

    Raises:
        TrajectoryError: a record cannot be read, and reading is strict.
    """
    report = Report()
    forced = format_of(options.format, options.keys)
    reader = Reader(forced, options.keys, options.strict, report, options.redact)
    path = options.folder / uuid4().hex
    openings, own = bytearray(), bytearray()
    with _without_gc(), _Writer(path) as writer:
        for part in _parts(options, reader, block):
            writer.write(part.rows)
            openings += part.openings
            own += part.own
    return Spooled(path if own else None, len(own), bytes(openings), bytes(own), report, block.done)


@dataclass(frozen=True, slots=True)
class _Part:
    """Some trajectories of a block, encoded, with their openings and whether this package wrote each."""

    rows: pa.RecordBatch
    openings: bytes
    own: bytes


def _parts(options: Options, reader: Reader, block: Block) -> Iterator[_Part]:
    encoding = encoding_of(options.kind)
    waiting: list[Piece] = []
    for piece in block.pieces(reader.forced, options.folder):
        if isinstance(piece, Lines) and (lines := _plain_lines(options, piece)) is not None:
            yield from _encoded(reader, waiting, encoding)
            waiting = []
            yield _mixed(reader, piece.source, lines)
        else:
            waiting.append(piece)
    yield from _encoded(reader, waiting, encoding)


def _encoded(reader: Reader, pieces: list[Piece], encoding: Encoding) -> Iterator[_Part]:
    """The trajectories of pieces, whose records all go through Python."""
    items = chain.from_iterable(_items(reader, piece) for piece in pieces)
    for group in grouped(items, GROUP_TRAJECTORIES, GROUP_CHARACTERS, _length):
        yield _part(group, encoding)


def _plain_lines(options: Options, piece: Lines) -> ChatLines | None:
    """The lines of a piece if some are plain, which need no more than their columns."""
    is_simple = options.format == "auto" and options.keys == NO_KEYS and options.redact is None
    if not (is_simple and options.kind == "parquet" and is_utf8(piece.source.label)):
        return None
    try:
        data = piece.read()
    except BrokenRecordError:  # reported with the records
        return None
    lines = ChatLines(data, piece.source.label, piece.first_line, piece.first_number)
    return lines if len(lines) else None


def _mixed(reader: Reader, source: Source, lines: ChatLines) -> _Part:
    """The trajectories of lines of which some are plain, in the order of the lines."""
    items = list(reader.records(each_record(_other_records(reader, lines), None), source))
    lines.count(reader.report)
    plain = _plain_part(lines, source)
    if not items:
        return plain
    others = _part(items, encoding_of("parquet"))
    numbers = np.concatenate([lines.numbers, [item.number for item in items]])
    order = np.argsort(numbers, kind="stable")
    rows = pa.Table.from_batches([plain.rows, others.rows]).take(buffers.numbers(order)).combine_chunks()
    openings = np.frombuffer(plain.openings + others.openings, OPENING)[order]
    own = np.frombuffer(plain.own + others.own, np.bool_)[order]
    return _Part(rows.to_batches()[0], openings.tobytes(), own.tobytes())


def _other_records(reader: Reader, lines: ChatLines) -> Iterator[Record | BrokenRecordError]:
    first = int(lines.numbers[0])
    for data, line, number in lines.other_lines():
        if number > first:  # formats are reported in the order in which they come
            reader.report.counts(chat.FORMAT.name)
        yield from json_stream.read_line(data, line, number)


def _plain_part(lines: ChatLines, source: Source) -> _Part:
    places = places_of(source.place, lines.numbers.tolist(), lines.lines.tolist())
    extra = (
        buffers.texts(places),
        lines.tasks,
        lines.success,
        buffers.numbers(lines.lengths),
        buffers.numbers(lines.characters),
        buffers.numbers(lines.turns),
        pa.nulls(len(lines), _LONG),
        pa.nulls(len(lines), pa.binary()),
        buffers.flags(np.zeros(len(lines), np.bool_)),
    )
    return _Part(_beside(lines.batch(), extra), lines.openings.tobytes(), bytes(len(lines)))


def _part(items: list[Item], encoding: Encoding) -> _Part:
    found = [item.found for item in items]
    trajectories = [one.trajectory for one in found]
    extra = (
        pa.array([printable(item.place) for item in items], pa.string()),
        pa.array([trajectory.task for trajectory in trajectories], pa.string()),
        pa.array([trajectory.success for trajectory in trajectories], pa.bool_()),
        *_lengths(trajectories).values(),
        pa.array([long_turns(one.trajectory) if one.is_call else None for one in found], _LONG),
        pa.array([_digests(one) for one in found], pa.binary()),
        pa.array([item.is_own for item in items], pa.bool_()),
    )
    openings = b"".join(map(opening, found))
    own = bytes(item.is_own for item in items)
    return _Part(_beside(encoding.encode(trajectories), extra), openings, own)


def _digests(found: Found) -> bytes | None:
    """The digests of a call; None for other trajectories, few of which repeat others."""
    if not (found.is_call and any(message["role"] != "system" for message in found.trajectory)):
        return None
    return Digests.of(found.trajectory, is_call=True).to_bytes()


def _lengths(trajectories: list[Trajectory]) -> dict[str, pa.Array]:
    return {
        "_messages": pa.array(map(len, trajectories), pa.int64()),
        "_characters": pa.array(map(characters_of, trajectories), pa.int64()),
        "_turns": pa.array([sum(map(is_own, trajectory)) for trajectory in trajectories], pa.int64()),
    }


def _beside(rows: pa.RecordBatch, extra: tuple[pa.Array, ...]) -> pa.RecordBatch:
    """The encoded trajectories with the columns `_EXTRA`."""
    return pa.RecordBatch.from_arrays([*rows.columns, *extra], [*rows.schema.names, *_EXTRA])


def _length(item: Item) -> int:
    return characters_of(item.found.trajectory)


@contextmanager
def _without_gc() -> Iterator[None]:
    """Millions of new objects without a cycle: looking for cycles takes a fifth of the time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _items(reader: Reader, piece: Piece) -> Iterator[Item]:
    if isinstance(piece, Trouble):
        reader.note(piece.problem)
    elif isinstance(piece, Whole):
        yield from (item for item, _ in reader.read(piece.source))
    else:
        yield from reader.records(_records(reader, piece), piece.source)


def _records(reader: Reader, piece: Lines | Rows) -> Records:
    if isinstance(piece, Rows):
        source = piece.source
        if isinstance(source.path, Path):
            yield from parquet.read_rows(source.path, piece.groups, piece.first_number)
        else:
            with source.open() as file:
                yield from parquet.read_rows(file, piece.groups, piece.first_number)
        return
    lines = json_stream.read_lines(io.BytesIO(piece.read()), piece.first_line, piece.first_number)
    yield from each_record(lines, reader.forced)


class _Writer:
    """Writes parts of a block to a file, which is made with the first one."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: pa.RecordBatchFileWriter | None = None

    def __enter__(self) -> "_Writer":
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()

    def write(self, rows: pa.RecordBatch) -> None:
        if self._file is None:
            self._file = pa.ipc.new_file(self._path, rows.schema)
        self._file.write_batch(rows)


def read_spooled(block: Spooled) -> Iterator[pa.RecordBatch]:
    """The batches of a block's file: the encoded trajectories and the columns beside them."""
    with pa.memory_map(str(block.path)) as file:
        reader = pa.ipc.open_file(file)
        for number in range(reader.num_record_batches):
            yield reader.get_batch(number)


def with_others(batch: pa.RecordBatch, trajectories: list[Trajectory], encoding: Encoding) -> pa.RecordBatch:
    """The batch with `trajectories` in place of its own, and their lengths beside them."""
    extra = {name: batch.column(name) for name in _EXTRA} | _lengths(trajectories)
    are_calls = extra["_long"].is_valid().to_pylist()
    turns = [long_turns(one) if call else None for one, call in zip(trajectories, are_calls, strict=True)]
    extra["_long"] = pa.array(turns, _LONG)
    return _beside(encoding.encode(trajectories), tuple(extra.values()))


def encoded(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The encoded trajectories of a batch without the columns beside them."""
    return batch.select([name for name in batch.schema.names if name not in _EXTRA])
