"""Made-up scores, for tests of what reads them."""

from collections.abc import Callable
from typing import Any

import numpy as np

from lar.corpus import Corpus, Shard
from lar.corpus.scores import Scores, TeacherRecord
from lar.scoring import store

TEACHER = TeacherRecord(fingerprint="made up", max_length=None, name="made up", dtype="float32", top_k=None)


def score_with(corpus: Corpus, entropies: Callable[[Shard], Any], teacher: TeacherRecord = TEACHER) -> Corpus:
    """The corpus with scores: those of `entropies` (n, nats) before the agent's tokens of each shard."""
    store.claim(corpus, teacher, overwrite=True)
    for shard in corpus.shards():
        found = np.asarray(entropies(shard), dtype=np.float16)[shard.action]
        store.write(shard, Scores(teacher.identity, found, None))
    return corpus
