"""What a block of an import gives: encoded trajectories in a file, and a few bytes of each in memory."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import pyarrow as pa

from lar.trajectories.blocks import Block, Lines, Rows, Trouble, Whole
from lar.trajectories.formats import get_format
from lar.trajectories.groups import characters_of, grouped
from lar.trajectories.layouts import json_stream, parquet
from lar.trajectories.layouts.records import Records, each_record
from lar.trajectories.read import Item, Reader
from lar.trajectories.redact import Redactor
from lar.trajectories.repeats import opening
from lar.trajectories.report import Report
from lar.trajectories.write import GROUP_CHARACTERS, GROUP_TRAJECTORIES, encoding_of

# Columns beside the encoded trajectories.
_EXTRA = ("_place", "_task", "_success", "_messages", "_characters", "_own")


@dataclass(frozen=True, slots=True)
class Options:
    """How all blocks of an import are read (see `read_trajectories`), and the kind of file they are for."""

    format: str
    task_key: str | None
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
    reader = Reader(get_format(options.format), options.task_key, options.strict, report, options.redact)
    path = options.folder / uuid4().hex
    openings, own = bytearray(), bytearray()
    with _without_gc(), _Writer(path, options.kind) as writer:
        for group in grouped(_items(reader, block), GROUP_TRAJECTORIES, GROUP_CHARACTERS, _length):
            writer.write(group)
            openings += b"".join(opening(item.found) for item in group)
            own += bytes(item.is_own for item in group)
    return Spooled(path if own else None, len(own), bytes(openings), bytes(own), report, block.done)


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


def _items(reader: Reader, block: Block) -> Iterator[Item]:
    if isinstance(block, Trouble):
        reader.note(block.problem)
    elif isinstance(block, Whole):
        yield from (item for item, _ in reader.read(block.source))
    else:
        yield from reader.records(_records(reader, block), block.source)


def _records(reader: Reader, block: Lines | Rows) -> Records:
    if isinstance(block, Rows):
        source = block.source
        if isinstance(source.path, Path):
            yield from parquet.read_rows(source.path, block.groups, block.first_number)
        else:
            with source.open() as file:
                yield from parquet.read_rows(file, block.groups, block.first_number)
        return
    lines = json_stream.read_lines(block.open(), block.first_line, block.first_number)
    yield from each_record(lines, reader.forced)


class _Writer:
    """Writes groups of a block to a file, which is made with the first one."""

    def __init__(self, path: Path, kind: str) -> None:
        self._path = path
        self._encoding = encoding_of(kind)
        self._file: pa.RecordBatchFileWriter | None = None

    def __enter__(self) -> "_Writer":
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()

    def write(self, items: list[Item]) -> None:
        trajectories = [item.found.trajectory for item in items]
        batch = self._encoding.encode(trajectories)
        extra = (
            pa.array([item.place for item in items], pa.string()),
            pa.array([trajectory.task for trajectory in trajectories], pa.string()),
            pa.array([trajectory.success for trajectory in trajectories], pa.bool_()),
            pa.array(map(len, trajectories), pa.int64()),
            pa.array(map(characters_of, trajectories), pa.int64()),
            pa.array([item.is_own for item in items], pa.bool_()),
        )
        whole = pa.RecordBatch.from_arrays([*batch.columns, *extra], [*batch.schema.names, *_EXTRA])
        if self._file is None:
            self._file = pa.ipc.new_file(self._path, whole.schema)
        self._file.write_batch(whole)


def read_spooled(block: Spooled) -> Iterator[pa.RecordBatch]:
    """The batches of a block's file: the encoded trajectories and the columns beside them."""
    with pa.memory_map(str(block.path)) as file:
        reader = pa.ipc.open_file(file)
        for number in range(reader.num_record_batches):
            yield reader.get_batch(number)


def encoded(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The encoded trajectories of a batch without the columns beside them."""
    return batch.select([name for name in batch.schema.names if name not in _EXTRA])
