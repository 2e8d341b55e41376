"""What an agent's runs cost in tokens: what it writes, what it reads, and what each turn sends again."""

from collections import defaultdict
from dataclasses import astuple, dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from lar.corpus import Corpus, Shard
from lar.corpus.backend import map_shards
from lar.corpus.turns import read_before, turn_starts, written
from lar.vocabulary.vocabulary import LatentVocabulary


@dataclass(frozen=True, slots=True)
class Tokens:
    """Sums over runs, in base tokens or in units.

    generated: what the agent writes. prompt: all the other text, once. A turn's request is the whole
    conversation before it, so `sent`, the sum over all requests, has three parts. new: the prompt before the
    last turn of a run, each text once: what a prefix cache does not have; the text after that turn is in no
    request. again: the same text in later requests. resent: what the agent wrote, in later requests.

    Where a request lacks reasoning that earlier ones had, a prefix cache has nothing of what follows: it is
    prompt once more, and new, the agent's earlier turns included.
    """

    generated: int = 0
    prompt: int = 0
    new: int = 0
    again: int = 0
    resent: int = 0

    @property
    def cached(self) -> int:
        """What the requests hold and a prefix cache has."""
        return self.again + self.resent

    @property
    def sent(self) -> int:
        """What the requests hold, in sum over turns."""
        return self.new + self.cached

    def __add__(self, other: "Tokens") -> "Tokens":
        return Tokens(*(a + b for a, b in zip(astuple(self), astuple(other), strict=True)))


@dataclass(frozen=True, slots=True)
class Usage:
    """The tokens of a corpus's runs without and with latents; one run is one trajectory."""

    runs: int = 0
    turns: int = 0
    base: Tokens = Tokens()
    units: Tokens = Tokens()

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(
            self.runs + other.runs,
            self.turns + other.turns,
            self.base + other.base,
            self.units + other.units,
        )

    @property
    def reduction(self) -> float:
        """1 - units / base tokens of what the agent writes."""
        return self.reduction_of("generated")

    @property
    def prompt_reduction(self) -> float:
        """1 - units / base tokens of what the agent reads."""
        return self.reduction_of("prompt")

    def reduction_of(self, name: str) -> float:
        """1 - units / base tokens of a field of `Tokens`; 0 where there are no tokens."""
        base: int = getattr(self.base, name)
        units: int = getattr(self.units, name)
        return 1 - units / base if base else 0.0


def usage(corpus: Corpus, vocabulary: LatentVocabulary) -> Usage:
    """The tokens and units of all runs of a corpus, as an engine with the vocabulary reads them."""
    return sum(map_shards(partial(_of_shard, vocabulary), corpus, None), Usage())


def base_usage(corpus: Corpus) -> Usage:
    """The usage of all runs of a corpus without latents: its units are its base tokens."""
    return sum(map_shards(_base_of_shard, corpus, None), Usage())


def base_tokens_by_task(corpus: Corpus) -> dict[str, Tokens]:
    """The base tokens of each task's runs."""
    found: defaultdict[str, Tokens] = defaultdict(Tokens)
    for shard in corpus.shards():
        offsets = shard.offsets.astype(np.int64)
        known = read_before(shard.tokens, offsets, shard.continues)
        own = written(shard.tokens, shard.action, offsets, shard.continues)
        for task, begin, end in zip(shard.tasks, offsets[:-1], offsets[1:], strict=True):
            row = slice(begin, end)
            tokens, _ = _tokens(shard.action[row], np.array([0, end - begin]), own[row], known[row])
            found[task] += tokens
    return dict(found)


def _base_of_shard(shard: Shard) -> Usage:
    offsets = shard.offsets.astype(np.int64)
    base, turns = _of_rows(shard.tokens, shard.action, offsets, shard.continues)
    return Usage(shard.num_runs, turns, base, base)


def _of_shard(vocabulary: LatentVocabulary, shard: Shard) -> Usage:
    form = vocabulary.reparameterize(shard.tokens, shard.action, shard.offsets)
    ends = np.searchsorted(form.starts, shard.offsets)
    units, _ = _of_rows(form.units, form.action, ends, shard.continues)
    return replace(_base_of_shard(shard), units=units)


def _of_rows(
    ids: NDArray[np.uint32],
    action: NDArray[np.bool_],
    offsets: NDArray[np.int64],
    continues: NDArray[np.bool_],
) -> tuple[Tokens, int]:
    """The tokens of rows, and the number of the agent's turns; the arguments are those of `newly_read`."""
    own = written(ids, action, offsets, continues)
    return _tokens(action, offsets, own, read_before(ids, offsets, continues))


def _tokens(
    action: NDArray[np.bool_],
    offsets: NDArray[np.int64],
    own: NDArray[np.bool_] | None = None,
    known: NDArray[np.bool_] | None = None,
) -> tuple[Tokens, int]:
    """The tokens of conversations with `offsets` (m + 1), and the number of the agent's turns.

    own: (n), what is `written`; None: that is `action` (n). known: (n), what is `read_before`; None: nothing.
    """
    own = action if own is None else own
    known = np.zeros(len(action), np.bool_) if known is None else known
    turns = turn_starts(action, offsets)
    rows = np.searchsorted(offsets, turns, side="right") - 1
    before = offsets[rows]
    resent = _between(own, before, turns)  # of what a turn's request holds
    read = turns - before - resent
    last = np.diff(rows, append=-1) != 0  # turns of a row
    new = int((read - _between(known & ~own, before, turns))[last].sum())
    generated = int(action.sum())
    prompt = len(action) - generated - int(known.sum())
    return Tokens(generated, prompt, new, int(read.sum()) - new, int(resent.sum())), len(turns)


def _between(flags: NDArray[np.bool_], begin: NDArray[np.int64], end: NDArray[np.int64]) -> NDArray[np.int64]:
    """How many of the flags from `begin` to `end` are set, for k such pairs; int64 (k)."""
    counts = np.concatenate([[0], np.cumsum(flags, dtype=np.int64)])
    found: NDArray[np.int64] = counts[end] - counts[begin]
    return found
