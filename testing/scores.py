"""Made-up scores, for tests of what reads them."""

from collections.abc import Callable
from typing import Any

import numpy as np

from lar.corpus import Corpus, Shard
from lar.corpus.scores import Scores, TeacherRecord
from lar.scoring import store

TEACHER = TeacherRecord(fingerprint="made up", max_length=None, name="made up", dtype="float32", top_k=None)


def score_with(
    corpus: Corpus,
    entropies: Callable[[Shard], Any],
    teacher: TeacherRecord = TEACHER,
    *,
    share: float = 1.0,
) -> Corpus:
    """The corpus with new scores: those of `entropies` (n, nats) before the agent's tokens of each shard.

    `share`: of a sample of the tasks, see `TeacherRecord`; the others' entropies are NaN.
    """
    store.clear(corpus)
    record = store.claim(corpus, teacher, overwrite=True, share=share)
    for shard in corpus.shards():
        scored = np.array([record.has_scored(task) for task in shard.tasks], dtype=np.bool_)
        of_shard = np.where(np.repeat(scored, np.diff(shard.offsets)), entropies(shard), np.nan)
        found = of_shard.astype(np.float16)[shard.action]
        store.write(shard, Scores(teacher.identity, found, None, share))
    return corpus
