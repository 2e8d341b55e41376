"""Whether one task has so much of a corpus that figures of the whole are mostly its own."""

from collections import Counter

import numpy as np

from lar.corpus.backend import Backend, map_shards
from lar.corpus.corpus import Corpus
from lar.corpus.shards import Shard
from lar.utils.words import shortened

FEWEST = 10  # tasks; of fewer, one may well have much
MOST = 0.2  # of the agent's tokens; about as much as a split holds out


def dominant_task(corpus: Corpus, backend: Backend | None = None) -> str | None:
    """A warning where one of `FEWEST` tasks or more has over `MOST` of the agent's tokens, else None."""
    counts: Counter[str] = Counter()
    for found in map_shards(_of_shard, corpus, backend):
        counts.update(found)
    total = counts.total()
    if len(counts) < FEWEST or not total:
        return None
    [(task, most)] = counts.most_common(1)
    if most <= MOST * total:
        return None
    return (
        f"one of {len(counts):,} tasks has {most / total:.0%} of what the agent wrote ({shortened(task)}):"
        " the savings and the number of latents are mostly its own; leave it out if it is an exception"
    )


def _of_shard(shard: Shard) -> Counter[str]:
    """The agent's tokens of each task."""
    before = np.concatenate([[0], np.cumsum(shard.action, dtype=np.int64)])
    found: Counter[str] = Counter()
    for task, tokens in zip(shard.tasks, np.diff(before[shard.offsets]).tolist(), strict=True):
        found[task] += tokens
    return found
