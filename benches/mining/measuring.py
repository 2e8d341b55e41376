"""Measurements of mining, each in a process of its own that is sent one shard at a time.

Making a shard is not counted, and none is made while the clock runs.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from importlib import import_module
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

import lar
from benches.mining import peers
from benches.mining.pipeline import TokenTable, fold, forget_peak, mine, peak_memory, reduction
from benches.resampling.agent_turns import Trajectories
from benches.resampling.resampler import Resampler

HELD_OUT_SHARD = 1_000_000  # far past the shards of any training corpus
HELD_OUT_TOKENS = 1_000_000


@dataclass(frozen=True)
class Measured:
    """One mining: seconds of each step, the process's peak bytes before and after, the held-out reduction."""

    tokens: int
    runs: int
    run_tokens: int
    candidates: int
    seconds: dict[str, float]
    memory_before: int
    memory: int
    reduction: float

    @property
    def total(self) -> float:
        """Seconds from the first shard to the vocabulary."""
        return sum(self.seconds.values())

    @property
    def bytes_a_token(self) -> float:
        """Bytes that mining added to the process's peak memory, for each token of the corpus."""
        return (self.memory - self.memory_before) / self.tokens


@dataclass(frozen=True)
class Peer:
    """The cost of another algorithm on the same runs; `reduction` where it chooses segments."""

    tokens: int
    seconds: float
    memory_before: int
    memory: int
    reduction: float | None = None


class Bench:
    """Sends corpora to measuring processes, shard by shard."""

    def __init__(self, resampler: Resampler, tokenizer: lar.Tokenizer, size: int, repeats: int) -> None:
        """Each measurement is of `size` segments and made `repeats` times."""
        self._resampler = resampler
        self._arguments = TokenTable.of(tokenizer), size
        self._repeats = repeats
        self._held_out = next(resampler.shards(HELD_OUT_TOKENS, HELD_OUT_SHARD))

    def lar(self, tokens: int, times: int = 1, memory: int | None = None) -> list[Measured]:
        """Mine a corpus of `tokens`, given to the miner `times` times; `memory` bounds its folder's bytes."""
        target = partial(_mine, memory=memory)
        return [Measured(**self._run(target, tokens, times)) for _ in range(self._repeats)]

    def bpe(self, tokens: int) -> list[Peer]:
        """Train BPE merges over ids on the same runs."""
        return [Peer(**self._run(_bpe, tokens)) for _ in range(self._repeats)]

    def suffix_array(self, tokens: int) -> list[Peer]:
        """Sort the suffixes of the same runs."""
        return [Peer(**self._run(_suffix_array, tokens)) for _ in range(self._repeats)]

    def _run(self, target: Callable[..., None], tokens: int, times: int = 1) -> dict[str, Any]:
        """The result of a process of its own that is sent the corpus and the held-out tasks."""
        context = get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(target=target, args=(theirs, *self._arguments), daemon=True)
        process.start()
        theirs.close()
        stream = (shard for _ in range(times) for shard in self._resampler.shards(tokens))
        try:
            while ours.recv() == "shard":
                ours.send(next(stream, None))
            ours.send(self._held_out)
            found: dict[str, Any] = ours.recv()
        except EOFError:
            raise SystemExit(f"a process that was sent {tokens:,} tokens was killed") from None
        process.join()
        return found


def _mine(pipe: Connection, tokens: TokenTable, size: int, memory: int | None) -> None:
    """Mine what the pipe sends."""
    mined = mine(_sent(pipe), tokens, size, memory)
    found = Measured(
        tokens=mined.tokens,
        runs=mined.runs,
        run_tokens=mined.run_tokens,
        candidates=mined.candidates,
        seconds=mined.seconds,
        memory_before=mined.memory[0],
        memory=mined.memory[1],
        reduction=reduction(mined, _held_out(pipe), tokens.base_size),
    )
    pipe.send(asdict(found))


def _bpe(pipe: Connection, tokens: TokenTable, size: int) -> None:
    """Train BPE merges on the runs that the pipe sends."""
    runs = fold(_sent(pipe), tokens)
    before, began = forget_peak(), time.perf_counter()
    merges = peers.BpeMerges.train(runs, size)
    seconds, after = time.perf_counter() - began, peak_memory()
    held_out = _held_out(pipe)
    saved = merges.saved(fold([held_out], tokens)) / len(held_out.tokens)
    pipe.send(asdict(Peer(runs.total_tokens, seconds, before, after, saved)))


def _suffix_array(pipe: Connection, tokens: TokenTable, size: int) -> None:
    """Sort the suffixes of the distinct runs that the pipe sends, with a number past all ids between them."""
    pydivsufsort = import_module("pydivsufsort")  # only here: all else does without

    del size
    runs = fold(_sent(pipe), tokens)
    flat, offsets, *_ = runs.to_arrays()
    _, dense = np.unique(np.insert(flat, offsets[1:], 2**32 - 1), return_inverse=True)
    text = dense.astype(np.uint16 if dense.max() < 1 << 16 else np.uint32)
    before, began = forget_peak(), time.perf_counter()
    pydivsufsort.divsufsort(text)
    seconds, after = time.perf_counter() - began, peak_memory()
    _held_out(pipe)
    pipe.send(asdict(Peer(len(text), seconds, before, after)))


def _sent(pipe: Connection) -> Iterator[Trajectories]:
    """The shards of the corpus, each asked for when the one before is done."""
    while True:
        pipe.send("shard")
        shard: Trajectories | None = pipe.recv()
        if shard is None:
            return
        yield shard


def _held_out(pipe: Connection) -> Trajectories:
    pipe.send("held out")
    held_out: Trajectories = pipe.recv()
    return held_out
