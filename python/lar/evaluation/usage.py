"""What an agent's runs cost in tokens: what it writes, what it reads, and what each turn sends again."""

from dataclasses import astuple, dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from lar.corpus import Corpus, Shard
from lar.corpus.backend import map_shards
from lar.vocabulary.vocabulary import LatentVocabulary


@dataclass(frozen=True, slots=True)
class Tokens:
    """Sums over runs, in base tokens or in units.

    generated: what the agent writes. prompt: what it reads, each text once. sent: what its requests hold, in
    sum over turns: each turn's request is the whole conversation before it. So a prefix cache computes
    `prompt` tokens, and without one `sent` tokens are computed.
    """

    generated: int = 0
    prompt: int = 0
    sent: int = 0

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
        return 1 - self.units.generated / self.base.generated if self.base.generated else 0.0

    @property
    def prompt_reduction(self) -> float:
        """1 - units / base tokens of what the agent reads."""
        return 1 - self.units.prompt / self.base.prompt if self.base.prompt else 0.0


def usage(corpus: Corpus, vocabulary: LatentVocabulary) -> Usage:
    """The tokens and units of all runs of a corpus, as an engine with the vocabulary reads them."""
    total = Usage()
    for of_shard in map_shards(partial(_of_shard, vocabulary), corpus, None):
        total += of_shard
    return total


def _of_shard(vocabulary: LatentVocabulary, shard: Shard) -> Usage:
    form = vocabulary.reparameterize(shard.tokens, shard.action, shard.offsets)
    ends = np.searchsorted(form.starts, shard.offsets)
    base, turns = _tokens(shard.action, shard.offsets.astype(np.int64))
    units, _ = _tokens(form.action, ends)
    return Usage(len(shard.tasks), turns, base, units)


def _tokens(action: NDArray[np.bool_], offsets: NDArray[np.int64]) -> tuple[Tokens, int]:
    """The tokens of conversations with `offsets` (m + 1), and the number of the agent's turns."""
    begins = action.copy()
    begins[1:] &= ~action[:-1]
    starts = offsets[:-1][np.diff(offsets) > 0]
    begins[starts] = action[starts]  # a conversation may begin where the last one ended: with the agent
    turns = np.flatnonzero(begins)
    before = offsets[np.searchsorted(offsets, turns, side="right") - 1]
    generated = int(action.sum())
    return Tokens(generated, len(action) - generated, int((turns - before).sum())), len(turns)
