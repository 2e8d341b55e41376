"""The agent's turns of real corpora as flat arrays, for benches to resample and to compare with."""

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import lar
from lar.corpus import Shard

CACHE_FILE = "agent-turns.npz"


@dataclass(frozen=True)
class Trajectories:
    """m trajectories with n action tokens in all; other tokens are left out.

    tokens (n) uint32; offsets (m + 1) int64: trajectory i is tokens[offsets[i] : offsets[i + 1]];
    tasks (m) uint32: a number for each task.
    """

    tokens: NDArray[np.uint32]
    offsets: NDArray[np.int64]
    tasks: NDArray[np.uint32]

    def first(self, tokens: int) -> "Trajectories":
        """Return the leading trajectories, at least one, that together have at most `tokens` tokens."""
        kept = max(1, int(np.searchsorted(self.offsets, tokens, side="right")) - 1)
        return Trajectories(self.tokens[: self.offsets[kept]], self.offsets[: kept + 1], self.tasks[:kept])

    def split(self, in_first: NDArray[np.bool_]) -> tuple["Trajectories", "Trajectories"]:
        """Return the trajectories for which `in_first` (m) is true, and the others."""
        return self._take(in_first), self._take(~in_first)

    def _take(self, keep: NDArray[np.bool_]) -> "Trajectories":
        lengths = np.diff(self.offsets)
        return Trajectories(self.tokens[np.repeat(keep, lengths)], ends(lengths[keep]), self.tasks[keep])


@dataclass(frozen=True)
class AgentTurns:
    """m real trajectories in t turns with n action tokens; other tokens are left out.

    tokens (n) uint32, each turn with the token that ends it; turns (t + 1) int64: turn i is
    tokens[turns[i] : turns[i + 1]]; trajectories (m + 1) int64: the first turn of each; tasks (m) uint32,
    ascending, each number one task of one corpus; corpora (m) uint32.
    """

    tokens: NDArray[np.uint32]
    turns: NDArray[np.int64]
    trajectories: NDArray[np.int64]
    tasks: NDArray[np.uint32]
    corpora: NDArray[np.uint32]

    def as_trajectories(self) -> Trajectories:
        """Return the trajectories without the bounds of turns; the tokens that end turns remain."""
        return Trajectories(self.tokens, self.turns[self.trajectories], self.tasks)

    def of_tasks(self, chosen: NDArray[np.bool_]) -> "AgentTurns":
        """Return the trajectories of the tasks whose entry in `chosen` is true; tasks are renumbered."""
        keep = chosen[self.tasks]
        kept_turns = np.repeat(keep, np.diff(self.trajectories))
        return AgentTurns(
            tokens=self.tokens[np.repeat(kept_turns, np.diff(self.turns))],
            turns=ends(np.diff(self.turns)[kept_turns]),
            trajectories=ends(np.diff(self.trajectories)[keep]),
            tasks=np.unique(self.tasks[keep], return_inverse=True)[1].astype(np.uint32),
            corpora=self.corpora[keep],
        )


def ends(lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """The offsets of pieces of these lengths laid end to end: each start, and the end of the last."""
    offsets = np.zeros(len(lengths) + 1, dtype=np.int64)
    np.cumsum(lengths, out=offsets[1:])
    return offsets


def load_turns(data: Path, names: list[str], tokenizer: lar.Tokenizer, cache: Path) -> AgentTurns:
    """The agent's turns of the files `data`/NAME.jsonl.gz, as `lar.Corpus` tokenizes them.

    The result is kept in `cache`/NAME; remove that folder when the tokenizer changes.
    """
    parts = []
    for number, name in enumerate(names):
        file = cache / name / CACHE_FILE
        if not file.exists():
            turns = _turns_of(lar.Corpus.build(lar.read_trajectories(data / f"{name}.jsonl.gz"), tokenizer))
            file.parent.mkdir(parents=True, exist_ok=True)
            np.savez(file, **{key: value for key, value in vars(turns).items() if key != "corpora"})
        with np.load(file) as stored:
            arrays = {key: stored[key] for key in stored.files}
        parts.append(AgentTurns(**arrays, corpora=np.full(len(arrays["tasks"]), number, dtype=np.uint32)))
    return _joined(parts)


def _turns_of(corpus: lar.Corpus) -> AgentTurns:
    """The turns of one corpus, with its trajectories ordered by task."""
    turns: list[list[NDArray[np.uint32]]] = []
    tasks: list[str] = []
    for shard in corpus.shards():
        turns += _turns_of_shard(shard)
        tasks += shard.tasks
    numbers = np.unique(tasks, return_inverse=True)[1]
    order = np.argsort(numbers, kind="stable").tolist()
    flat = [turn for row in order for turn in turns[row]]
    return AgentTurns(
        tokens=np.concatenate(flat).astype(np.uint32),
        turns=ends(np.array([len(turn) for turn in flat], dtype=np.int64)),
        trajectories=ends(np.array([len(turns[row]) for row in order], dtype=np.int64)),
        tasks=numbers[order].astype(np.uint32),
        corpora=np.zeros(len(order), dtype=np.uint32),
    )


def _turns_of_shard(shard: Shard) -> list[list[NDArray[np.uint32]]]:
    """The agent's turns of each trajectory: the maximal stretches of action tokens."""
    return [
        [shard.tokens[begin + a : begin + b] for a, b in turn_spans(shard.action[begin:end])]
        for begin, end in pairwise(shard.offsets.tolist())
    ]


def turn_spans(action: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """The start and end of each of the agent's turns in a conversation with this action mask."""
    edges = np.flatnonzero(np.diff(action.astype(np.int8), prepend=0, append=0)).tolist()
    return list(zip(edges[::2], edges[1::2], strict=True))


def _joined(parts: list[AgentTurns]) -> AgentTurns:
    """The turns of all corpora, concatenated."""
    first_tasks = ends(np.array([int(part.tasks.max()) + 1 for part in parts], dtype=np.int64))
    tasks = [part.tasks + first for part, first in zip(parts, first_tasks[:-1], strict=True)]
    return AgentTurns(
        tokens=np.concatenate([part.tokens for part in parts]),
        turns=ends(np.concatenate([np.diff(part.turns) for part in parts])),
        trajectories=ends(np.concatenate([np.diff(part.trajectories) for part in parts])),
        tasks=np.concatenate(tasks).astype(np.uint32),
        corpora=np.concatenate([part.corpora for part in parts]),
    )
