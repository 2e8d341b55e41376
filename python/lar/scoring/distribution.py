"""The distribution of a teacher's entropies before the agent's tokens, from which a gate is chosen."""

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lar.corpus.backend import Backend, map_shards
from lar.corpus.corpus import Corpus
from lar.corpus.shards import Shard
from lar.errors import CorpusError
from lar.utils.progress import Progress, silent

QUANTILES = (0.05, 0.1, 0.25, 0.5, 0.6, 0.75, 0.9, 0.95)
THRESHOLDS = (0.05, 0.25, 0.5, 1.0, 2.0)  # nats
# Every value that a float16 can take, in nats, by its bits.
_VALUES = np.arange(1 << 16, dtype=np.uint16).view(np.float16).astype(np.float64)


@dataclass(frozen=True)
class EntropyDistribution:
    """The entropies before the agent's tokens; barriers are left out, because no gate is applied there.

    counts: int64 (65,536), the tokens at each float16 value by its bits. Counting is exact, and needs
    neither sorting nor memory for the entropies.
    """

    counts: NDArray[np.int64]

    @classmethod
    def of(
        cls, corpus: Corpus, backend: Backend | None = None, progress: Progress = silent
    ) -> "EntropyDistribution":
        """Count in one pass over the shards, on `backend` (None: this process); `progress` counts tokens.

        Raises:
            CorpusError: the corpus, or a part of it, is not scored, or no token of the agent has an entropy.
        """
        is_barrier = np.zeros(corpus.tokenizer.base_size, dtype=np.bool_)
        is_barrier[corpus.tokenizer.barriers] = True
        count = partial(_count, is_barrier)
        counts = np.zeros(1 << 16, dtype=np.int64)
        for of_shard in map_shards(count, corpus, backend, progress):
            counts += of_shard
        if not counts.any():
            raise CorpusError(f"{corpus.path}: none of the agent's tokens has an entropy")
        return cls(counts)

    @property
    def tokens(self) -> int:
        """Number of tokens."""
        return int(self.counts.sum())

    @property
    def mean(self) -> float:
        """Mean entropy in nats."""
        used = self.counts > 0
        return float((self.counts[used] * _VALUES[used]).sum() / self.tokens)

    def quantile(self, share: float) -> float:
        """The smallest entropy in nats at or under which at least this share of the tokens lies."""
        # The bits of floats that are not negative are in the floats' own order.
        reached = np.cumsum(self.counts) >= max(1.0, share * self.tokens)
        return float(_VALUES[int(np.argmax(reached))])

    def share_at_or_under(self, nats: float) -> float:
        """The share of the tokens whose entropy is at most `nats`."""
        used = self.counts > 0
        return float(self.counts[used][_VALUES[used] <= nats].sum() / self.tokens)


def entropy_quantiles(corpus: Corpus, backend: Backend | None = None) -> dict[str, Any]:
    """The distribution of the entropies before the agent's tokens, in nats, as JSON-ready figures.

    The shards are counted on `backend` (None: this process). Returns `tokens`, `mean`, `quantiles`
    ({"0.5": nats}) and `at_or_under` ({"0.05": share of the tokens}).

    Raises:
        CorpusError: the corpus is not scored.
    """
    found = EntropyDistribution.of(corpus, backend)
    return {
        "tokens": found.tokens,
        "mean": found.mean,
        "quantiles": {str(share): found.quantile(share) for share in QUANTILES},
        "at_or_under": {str(nats): found.share_at_or_under(nats) for nats in THRESHOLDS},
    }


def _count(is_barrier: NDArray[np.bool_], shard: Shard) -> NDArray[np.int64]:
    """The tokens of a shard at each float16 value by its bits; int64 (65,536)."""
    if (found := shard.action_entropy) is None:
        raise CorpusError(f"{shard.path}: not scored; run `lar score` first")
    found = found[~is_barrier[shard.tokens[shard.action]]]
    found = np.abs(found[~np.isnan(found)])  # abs: -0.0 counts as 0.0
    return np.bincount(found.view(np.uint16), minlength=1 << 16)
