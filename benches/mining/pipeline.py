"""Mining step by step as `lar.mine` does it, on plain arrays: what the benchmarks time."""

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray

import lar
from benches.resampling.agent_turns import Trajectories, ends
from lar import _core
from lar.mining.engine_gates.static import characters
from lar.mining.options import CANDIDATES_A_LATENT


@dataclass(frozen=True)
class TokenTable:
    """What mining wants of a tokenizer; unlike that it is small, and does not hide what mining takes."""

    barriers: NDArray[np.uint32]
    base_size: int
    content: tuple[NDArray[np.uint8], NDArray[np.uint64]]

    @classmethod
    def of(cls, tokenizer: lar.Tokenizer) -> "TokenTable":
        """Take it from a tokenizer."""
        return cls(tokenizer.barriers, tokenizer.base_size, tokenizer.token_bytes())

    def token_bytes(self) -> tuple[NDArray[np.uint8], NDArray[np.uint64]]:
        """The bytes of every id, flat, and their offsets (base_size + 1)."""
        return self.content


@dataclass(frozen=True)
class Mined:
    """What a mining found, and what it took.

    seconds: of each step; memory: the process's peak resident bytes before the first step and at the end;
    tokens: seen; runs, run_tokens: distinct runs and their tokens; candidates; segments: those chosen, flat,
    with their offsets.
    """

    seconds: dict[str, float]
    memory: tuple[int, int]
    tokens: int
    runs: int
    run_tokens: int
    candidates: int
    segments: tuple[NDArray[np.uint32], NDArray[np.int64]]


def mine(shards: Iterable[Trajectories], tokens: TokenTable, size: int) -> Mined:
    """Choose `size` segments from `shards`; the time that it takes to get these is not counted."""
    clock = _Clock()
    folder = _core.RunFolder(tokens.barriers)
    seen = 0
    for shard in shards:
        action = np.ones(len(shard.tokens), dtype=np.bool_)
        with clock("fold"):
            folder.add(shard.tokens, shard.offsets, action, shard.tasks)
        seen += len(shard.tokens)
    with clock("fold"):
        runs = folder.finish()
    with clock("candidates"):
        candidates = runs.candidates(2, 2, 128, CANDIDATES_A_LATENT * size)
    with clock("characters"):
        candidates = candidates.filter(characters(candidates, cast(lar.Tokenizer, tokens)))
    with clock("select"):
        chosen, _ = runs.select(candidates, size)
    return Mined(
        seconds=clock.seconds,
        memory=(clock.memory, peak_memory()),
        tokens=seen,
        runs=len(runs),
        run_tokens=runs.distinct_tokens,
        candidates=len(candidates),
        segments=_segments(candidates, chosen),
    )


def fold(shards: Iterable[Trajectories], tokens: TokenTable) -> _core.Runs:
    """The distinct runs of `shards`."""
    folder = _core.RunFolder(tokens.barriers)
    for shard in shards:
        folder.add(shard.tokens, shard.offsets, np.ones(len(shard.tokens), dtype=np.bool_), shard.tasks)
    return folder.finish()


class _Clock:
    """Adds up the seconds of named steps; knows the peak memory before the first."""

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
    """Let the peak begin anew from what is resident now, where the system allows it; the peak then."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    return peak_memory()


def peak_memory() -> int:
    """The most resident bytes that this process has had (Linux).

    Not getrusage's: a spawned process starts with its parent's peak there.
    """
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024


def _segments(
    candidates: _core.Candidates, chosen: NDArray[np.uint32]
) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
    tokens, offsets, *_ = candidates.to_arrays()
    lengths = np.diff(offsets)[chosen]
    parts = [tokens[offsets[index] : offsets[index + 1]] for index in chosen.tolist()]
    return np.concatenate(parts) if parts else tokens[:0], ends(lengths)


def reduction(mined: Mined, held_out: Trajectories, base_size: int) -> float:
    """1 - units / base tokens of trajectories that were not mined."""
    vocabulary = _core.Vocabulary(base_size, *mined.segments)
    return 1 - len(vocabulary.encode(held_out.tokens)) / len(held_out.tokens)
