"""Logs of any size -> one file of trajectories, on all cores.

Files are cut into blocks, and processes read these into files of encoded trajectories in a folder beside the
output. When all is read, it shows which trajectories are repeated by others; the rest is written in the order
of the log. The result is that of `write_trajectories(read_trajectories(...))`, to the byte, for any number of
processes.
"""

import logging
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import accumulate
from pathlib import Path
from time import process_time

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lar.errors import OptionError
from lar.trajectories.batches import with_joined_batches
from lar.trajectories.blocks import Block, Piece, Uncut, in_blocks, is_small, parts_of
from lar.trajectories.buffers import flags
from lar.trajectories.digests import Digests
from lar.trajectories.draft import Keys
from lar.trajectories.formats.base import Format
from lar.trajectories.formats.keyed import format_of
from lar.trajectories.inputs.files import Source, find_sources
from lar.trajectories.long_turns import LongTurns
from lar.trajectories.openings import OPENING
from lar.trajectories.read import check_count
from lar.trajectories.reader import Reader
from lar.trajectories.redact import Redactor
from lar.trajectories.repeats import Repeats
from lar.trajectories.report import Report
from lar.trajectories.schema import Trajectory
from lar.trajectories.spool import Options, Spooled, encoded, read_block, read_spooled, with_others
from lar.trajectories.tasks import digest
from lar.trajectories.write import (
    GROUP_CHARACTERS,
    GROUP_TRAJECTORIES,
    Encoding,
    Writer,
    encoding_of,
    open_writer,
    output_kind,
)
from lar.utils.files import atomic_file, temporary_folder
from lar.utils.paths import StrPath, printable
from lar.utils.pool import cores, in_order
from lar.utils.progress import Progress, silent

logger = logging.getLogger(__name__)

_START = 1.0  # seconds that processes take to start; so long do 400 MB of plain lines take


@dataclass(slots=True)
class Tally:
    """What was written: trajectories, messages, turns of the agent, trajectories of each task and outcome."""

    trajectories: int = 0
    found: int = 0  # before a sample was taken
    messages: int = 0
    agent_turns: int = 0
    tasks: Counter[str] = field(default_factory=Counter)
    success: Counter[bool | None] = field(default_factory=Counter)

    def add(self, batch: pa.RecordBatch) -> None:
        """Count the rows of a batch."""
        self.trajectories += batch.num_rows
        self.messages += sum(batch.column("_messages").to_pylist())
        self.agent_turns += sum(batch.column("_turns").to_pylist())
        self.tasks.update(batch.column("_task").to_pylist())
        self.success.update(batch.column("_success").to_pylist())


def import_logs(
    paths: Iterable[StrPath],
    output: StrPath,
    *,
    format: str = "auto",  # noqa: A002 (the word that users expect)
    task_key: str | None = None,
    success_key: str | None = None,
    messages_key: str | None = None,
    reply_key: str | None = None,
    strict: bool = False,
    redact: Redactor | None = None,
    workers: int | None = None,
    sample: int | None = None,
    report: Report | None = None,
    progress: Progress = silent,
) -> Tally:
    """Write the trajectories of all files in `paths` to `output`; return what was written.

    The arguments are those of `read_trajectories` and `write_trajectories`. `workers` is the number of
    processes that read; None: one for each core. With `sample`, about so many trajectories are written: all
    of some tasks, chosen by their names alone. `report` counts what was read.

    Raises:
        What `read_trajectories` and `write_trajectories` raise. WorkerError: a process has died. OptionError:
        no task falls into the sample, or the output's path is not valid UTF-8, which pyarrow needs.
    """
    paths, output = list(paths), Path(output)
    if printable(str(output)) != str(output):
        raise OptionError(f"{printable(str(output))}: not valid UTF-8; choose another output")
    found = Report() if report is None else report
    keys = Keys(task_key, success_key, messages_key, reply_key)
    forced, kind, sources = format_of(format, keys), output_kind(output), find_sources(paths, found.pass_over)
    with (
        atomic_file(output) as temporary,
        # By the end of its name `lar status` finds what a killed import leaves.
        temporary_folder(f".{output.name}.", ".spool.partial", output.parent) as folder,
    ):
        options = Options(format, keys, strict, redact, kind, folder)
        if forced is None:
            note = Reader(forced, keys, strict, found).note
            sources = with_joined_batches(sources, note, folder)
        read = partial(read_block, options)
        blocks = _Blocks(sources, forced, folder)
        spool = _Spool(encoding_of(kind))
        with closing(in_order(read, blocks, workers or cores(), is_small, blocks.are_soon_done)) as results:
            for spooled in results:
                spool.add(spooled)
                found.merge(spooled.report)
                progress(*blocks.progress(spooled.done))
        check_count(len(spool), found, paths)
        with closing(open_writer(temporary, kind)) as writer:
            tally = _write(spool, writer, found, sample)
    logger.info("read %d trajectories; %s", tally.trajectories, found.problems.summary())
    return tally


class _Blocks:
    """The blocks of all files, and how far the reading is."""

    def __init__(self, sources: list[Source], forced: Format | None, folder: Path) -> None:
        self._sources = sources
        self._forced = forced
        self._folder = folder
        self._total = sum(source.size for source in sources)
        self._shown = 0
        self._began = process_time()

    def __iter__(self) -> Iterator[Block]:
        return in_blocks(self._parts())

    def _parts(self) -> Iterator[Piece | Uncut]:
        before = 0
        for source in self._sources:
            for part in parts_of(source, self._forced, self._folder):
                yield replace(part, done=before + part.done)
            before += source.size

    def progress(self, done: int) -> tuple[int, int]:
        """The bytes that are read, and all bytes."""
        self._shown = max(self._shown, done)
        return self._shown, max(self._total, self._shown)

    def are_soon_done(self) -> bool:
        """Whether one process has read the rest, at its speed so far, when others would be there.

        The speed is by CPU time: on a machine that is busy, starting processes takes longer too.
        """
        if not 0 < self._shown <= self._total:
            return False
        seconds = process_time() - self._began
        return seconds * (self._total - self._shown) / self._shown <= _START


class _Spool:
    """The trajectories of all blocks, in order."""

    def __init__(self, encoding: Encoding) -> None:
        self.encoding = encoding
        self._blocks: list[Spooled] = []
        self._openings = bytearray()
        self._own = bytearray()

    def __len__(self) -> int:
        return len(self._own)

    def add(self, spooled: Spooled) -> None:
        """Add the next block."""
        if spooled.path is not None:
            self._blocks.append(spooled)
            self._openings += spooled.openings
            self._own += spooled.own

    @property
    def own(self) -> NDArray[np.bool_]:
        """Bool (n): of each trajectory whether this package wrote it."""
        return np.frombuffer(bytes(self._own), np.bool_)

    @property
    def openings(self) -> NDArray[np.void]:
        """OPENING (n): see there."""
        return np.frombuffer(bytes(self._openings), OPENING)

    def batches(self) -> Iterator[tuple[int, pa.RecordBatch]]:
        """All batches, each with the number of its first trajectory."""
        start = 0
        for block in self._blocks:
            for batch in read_spooled(block):
                yield start, batch
                start += batch.num_rows

    def rows(self, numbers: NDArray[np.int64]) -> "_SpooledRows":
        """The trajectories with these numbers, for random access."""
        return _SpooledRows(self._blocks, self.encoding, numbers)


class _SpooledRows:
    """Some trajectories of a spool, by their place in `numbers`."""

    def __init__(self, blocks: list[Spooled], encoding: Encoding, numbers: NDArray[np.int64]) -> None:
        self._blocks = blocks
        self._encoding = encoding
        self._numbers = numbers
        self._starts = list(accumulate((block.count for block in blocks), initial=0))
        self._opened = -1
        self._batches: list[pa.RecordBatch] = []

    def read(self, number: int) -> tuple[Trajectory, str]:
        """The trajectory, and its place in the log."""
        row = self._row(number)
        return self._encoding.decode(encoded(row).to_pylist()[0]), row.column("_place")[0].as_py()

    def digests(self, number: int) -> Digests | None:
        """The digests of the trajectory: those of calls wait beside them."""
        stored = self._row(number).column("_digests")[0].as_py()
        return None if stored is None else Digests.from_bytes(stored)

    def _row(self, number: int) -> pa.RecordBatch:
        at = int(self._numbers[number])
        block = bisect_right(self._starts, at) - 1
        if block != self._opened:
            self._opened, self._batches = block, list(read_spooled(self._blocks[block]))
        at -= self._starts[block]
        for batch in self._batches:
            if at < batch.num_rows:
                return batch.slice(at, 1)
            at -= batch.num_rows
        raise IndexError(number)


def _write(spool: _Spool, writer: Writer, report: Report, sample: int | None) -> Tally:
    """Write what is not repeated: first the records that this package wrote, then the others."""
    own = spool.own
    others = np.flatnonzero(~own)
    repeats = Repeats(spool.rows(others), spool.openings[others].tobytes(), report)
    kept, touched = ~own, np.zeros(len(own), dtype=np.bool_)
    kept[others], touched[others] = ~repeats.repeated, repeats.touched
    number = np.cumsum(~own) - 1  # of each of the others, counted from 0
    tally, groups, turns = Tally(found=int((own | kept).sum())), _Groups(writer), LongTurns()
    share = 1.0 if sample is None else sample / tally.found
    for wanted in (own, kept):
        if not wanted.any():
            continue
        for start, batch in spool.batches():
            here = slice(start, start + batch.num_rows)
            if wanted is kept:
                for place in _chosen(batch, ~kept[here] & ~own[here]).column("_place"):
                    report.repeat(place.as_py())
                batch = _with_tasks(batch, number[here], repeats.tasks)
            rows = wanted[here] & _sampled(batch, share)
            chosen = _chosen(batch, rows)
            if wanted is kept and touched[here].any():
                chosen = _restored(chosen, spool.encoding, repeats, number[here][rows])
            tally.add(chosen)
            turns.add(chosen.column("_long").flatten().to_numpy(zero_copy_only=False))
            groups.add(encoded(chosen), chosen.column("_characters"))
    groups.finish()
    turns.count(report)
    if tally.trajectories == 0:
        raise OptionError(
            f"no task of {tally.found:,} trajectories falls into a sample of {sample}; give more"
        )
    return tally


def _with_tasks(batch: pa.RecordBatch, numbers: NDArray[np.int64], tasks: dict[int, str]) -> pa.RecordBatch:
    """The batch with the `tasks` of trajectories, by their numbers, in place of those that it names."""
    if not tasks:
        return batch
    known = batch.column("_task").to_pylist()
    joined = [tasks.get(number, task) for number, task in zip(numbers.tolist(), known, strict=True)]
    return batch.set_column(batch.schema.names.index("_task"), "_task", pa.array(joined, pa.string()))


def _sampled(batch: pa.RecordBatch, share: float) -> NDArray[np.bool_]:
    """Bool (rows): those of about this share of the tasks, by a digest of their names; whole tasks."""
    if share >= 1:
        return np.ones(batch.num_rows, dtype=np.bool_)
    rows = [int(digest(task), 16) < share * 2**64 for task in batch.column("_task").to_pylist()]
    return np.array(rows, dtype=np.bool_)


def _chosen(batch: pa.RecordBatch, rows: NDArray[np.bool_]) -> pa.RecordBatch:
    """The rows of a batch for which `rows`, bool (n), is true."""
    if rows.all():
        return batch
    return batch.filter(flags(rows)) if rows.any() else batch.slice(0, 0)


def _restored(
    batch: pa.RecordBatch, encoding: Encoding, repeats: Repeats, numbers: NDArray[np.int64]
) -> pa.RecordBatch:
    places = batch.column("_place").to_pylist()
    rows = zip(numbers.tolist(), encoded(batch).to_pylist(), places, strict=True)
    restored = [repeats.restored(number, encoding.decode(row), place) for number, row, place in rows]
    return with_others(batch, restored, encoding)


class _Groups:
    """Writes rows in the groups that `in_groups` makes of the trajectories."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._parts: list[pa.RecordBatch] = []
        self._count = self._characters = 0

    def add(self, batch: pa.RecordBatch, characters: pa.Array) -> None:
        """Add rows, with the length of the text of each."""
        start = 0
        for row, length in enumerate(characters.to_pylist(), start=1):
            self._count += 1
            self._characters += length
            if self._count == GROUP_TRAJECTORIES or self._characters >= GROUP_CHARACTERS:
                self._parts.append(batch.slice(start, row - start))
                start = row
                self.finish()
        if start < batch.num_rows:
            self._parts.append(batch.slice(start))

    def finish(self) -> None:
        """Write the rows that wait."""
        if self._parts:
            self._writer.write_encoded(self._parts)
        self._parts, self._count, self._characters = [], 0, 0
