"""The steps of `lar.mine` without gates, on plain arrays and timed one by one: for the benchmarks."""

import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import lar
from benches.resampling.agent_turns import Trajectories
from lar import _core
from lar.mining.options import MiningOptions
from lar.vocabulary.segments import Segments


@dataclass(frozen=True)
class TokenTable:
    """What mining needs of a tokenizer. It is small, so that the memory of mining itself can be measured.

    content: the bytes of every id, flat, and their offsets (base_size + 1).
    """

    barriers: NDArray[np.uint32]
    base_size: int
    content: tuple[NDArray[np.uint8], NDArray[np.int64]]

    @classmethod
    def of(cls, tokenizer: lar.Tokenizer) -> "TokenTable":
        """Take it from a tokenizer."""
        content, offsets = tokenizer.token_bytes()
        return cls(tokenizer.barriers, tokenizer.base_size, (content, offsets.astype(np.int64)))


@dataclass(frozen=True)
class Mined:
    """The segments that a mining chose, and what it took.

    seconds: of each step; memory: the process's peak resident bytes before the first step and at the end;
    tokens: seen; runs, run_tokens: distinct runs and their tokens; candidates: those of whole characters.
    """

    seconds: dict[str, float]
    memory: tuple[int, int]
    tokens: int
    runs: int
    run_tokens: int
    candidates: int
    segments: Segments


def mine(shards: Iterable[Trajectories], table: TokenTable, size: int, memory: int | None = None) -> Mined:
    """Choose `size` segments from `shards`; the time that it takes to get these is not counted.

    memory: the bytes of the folder, which spills the rest to TMPDIR; None: no bound.
    """
    clock = _Clock()
    folder = _core.RunFolder(table.barriers, None if memory is None else (memory, tempfile.gettempdir()))
    seen = 0
    for shard in shards:
        part = _part(shard)
        with clock("fold"):
            folder.add(*part)
        seen += len(shard.tokens)
    with clock("fold"):
        runs = folder.finish()
    with clock("candidates"):
        candidates = runs.candidates(MiningOptions(size=size).limits)
    with clock("characters"):
        candidates = candidates.filter(candidates.are_whole_characters(*table.content))
    with clock("select"):
        selection = runs.select(candidates, size)
    tokens, offsets, *_ = selection.to_arrays()
    return Mined(
        seconds=clock.seconds,
        memory=(clock.memory, peak_memory()),
        tokens=seen,
        runs=len(runs),
        run_tokens=runs.distinct_tokens,
        candidates=len(candidates),
        segments=Segments(tokens, offsets),
    )


def fold(shards: Iterable[Trajectories], table: TokenTable) -> _core.Runs:
    """The distinct runs of `shards`."""
    folder = _core.RunFolder(table.barriers)
    for shard in shards:
        folder.add(*_part(shard))
    return folder.finish()


def _part(
    shard: Trajectories,
) -> tuple[NDArray[np.uint32], NDArray[np.int64], NDArray[np.bool_], NDArray[np.uint32]]:
    """What `RunFolder.add` takes of a shard in which the agent wrote every token."""
    return shard.tokens, shard.offsets, np.ones(len(shard.tokens), dtype=np.bool_), shard.tasks


class _Clock:
    """Adds up the seconds of named steps; holds the peak memory before the first."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.memory = 0

    @contextmanager
    def __call__(self, step: str) -> Iterator[None]:
        self.memory = self.memory or forget_peak()
        began = time.perf_counter()
        yield
        self.seconds[step] = self.seconds.get(step, 0.0) + time.perf_counter() - began


def forget_peak() -> int:
    """Set the peak back to what is resident now, where the system allows it; returns the peak then."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    return peak_memory()


def peak_memory() -> int:
    """The most resident bytes that this process has had (Linux).

    It is not getrusage's, by which a spawned process starts with its parent's peak.
    """
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024


def reduction(mined: Mined, held_out: Trajectories, base_size: int) -> float:
    """1 - units / base tokens of trajectories that were not mined."""
    vocabulary = _core.Vocabulary(base_size, mined.segments.tokens, mined.segments.offsets)
    return 1 - len(vocabulary.encode(held_out.tokens)) / len(held_out.tokens)
