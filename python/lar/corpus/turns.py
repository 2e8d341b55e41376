"""The turns of an agent: what it writes in one go, between two texts that it reads."""

import numpy as np
from numpy.typing import NDArray

from lar.corpus.backend import Backend, map_shards
from lar.corpus.corpus import Corpus
from lar.corpus.shards import Shard


def turn_starts(action: NDArray[np.bool_], offsets: NDArray[np.int64]) -> NDArray[np.int64]:
    """Where each turn begins, in conversations with the mask `action` (n) and `offsets` (m + 1)."""
    begins = action.copy()
    begins[1:] &= ~action[:-1]
    starts = offsets[:-1][np.diff(offsets) > 0]
    begins[starts] = action[starts]  # a conversation may begin where the last one ended: with the agent
    return np.flatnonzero(begins)


def count_turns(corpus: Corpus, backend: Backend | None = None) -> int:
    """The number of the agent's turns in a corpus."""
    return sum(map_shards(_of_shard, corpus, backend))


def _of_shard(shard: Shard) -> int:
    return len(turn_starts(shard.action, shard.offsets))
