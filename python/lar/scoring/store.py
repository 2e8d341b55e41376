"""The store of a teacher's scores: claimed for one teacher, written by shard, read as probabilities.

The files themselves are read and written in `lar.corpus.scores`. A corpus has the scores of one teacher, with
windows of one length, and each file has as many likely tokens as the record gives.
"""

import logging
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lar.corpus import Corpus, Shard
from lar.corpus.scores import (
    RECORD_FILE,
    TEACHER_FOLDER,
    LikelyTokens,
    Scores,
    TeacherIdentity,
    TeacherRecord,
    scores_file,
    write_scores,
)
from lar.errors import CorpusError
from lar.utils.task_digests import TRAINED_FILE, write_digests

logger = logging.getLogger(__name__)


def claim(
    corpus: Corpus,
    teacher: TeacherRecord,
    *,
    overwrite: bool,
    share: float | None = None,
    trained_tasks: frozenset[str] = frozenset(),
) -> TeacherRecord:
    """Record the teacher before its first score; with `overwrite` remove the scores of another.

    `trained_tasks` are the digests of the tasks that the teacher was trained on. Those that are recorded for
    the same teacher stay recorded: a copy of its weights may lie in a folder without them. `share` is that
    of the tasks to score; None goes on with a stopped run's, else it is 1.0. The caller holds the corpus's
    folder (`only_writer`).

    Returns:
        The record: `teacher`, with the `top_k` of the scores that are there if that is larger. So a
        resumed run writes as many likely tokens as the files before it. Where all shards are scored, it has
        their `dtype`, and their share if that is larger.

    Raises:
        CorpusError: the corpus is a selection, or has the scores of another teacher, or some of this one in
        another `dtype`.
    """
    if len(corpus) < sum(part.rows for part in corpus.manifest.parts):
        raise CorpusError(f"{corpus.path}: a selection of tasks cannot be scored; score the whole corpus")
    found = _found(corpus, overwrite=overwrite)
    if found is not None and found.identity != teacher.identity:
        if not overwrite:
            raise CorpusError(
                f"{corpus.path}: scored by another teacher ({found.name}, max_length "
                f"{found.max_length}); pass overwrite (--overwrite) to replace its scores"
            )
        clear(corpus)
        found = None
    if found is not None:
        trained_tasks |= corpus.teacher_tasks
        # Likely tokens are of all tasks: a distillation reads them all.
        share = 1.0 if teacher.top_k else _share_to_score(corpus, found, share)
        top_k = max(found.top_k or 0, teacher.top_k or 0) if share == 1 else 0
        teacher = replace(teacher, share=share, top_k=top_k or None)
        teacher = _with_dtype(corpus, teacher, found.dtype, overwrite=overwrite)
    elif share is not None:
        teacher = replace(teacher, share=share)
    for leftover in (corpus.path / TEACHER_FOLDER).glob(".*.partial"):
        leftover.unlink()
    teacher = replace(teacher, split=corpus.own_split)
    seen = corpus.path / TEACHER_FOLDER / TRAINED_FILE
    if trained_tasks:
        write_digests(seen, trained_tasks)
    else:
        seen.unlink(missing_ok=True)
    teacher.write(corpus.path)
    return teacher


def _share_to_score(corpus: Corpus, found: TeacherRecord, share: float | None) -> float:
    """The share to record, of the one that was asked for and that of the record that is there."""
    if not corpus.is_scored:
        return found.share if share is None else share
    wanted = 1.0 if share is None else share
    if wanted > found.share:
        logger.info("%s: a sample is scored; its scores are kept, and more tasks are scored", corpus.path)
    return max(wanted, found.share)


def _with_dtype(corpus: Corpus, teacher: TeacherRecord, before: str, *, overwrite: bool) -> TeacherRecord:
    """The record with the dtype of the scores: that of `before` where all shards are scored already."""
    if teacher.dtype == before:
        return teacher
    if all(is_scored(shard, teacher) for shard in corpus.shards()):
        return replace(teacher, dtype=before)
    if any(stored(shard, teacher) for shard in corpus.shards()):
        if not overwrite:
            raise CorpusError(
                f"{corpus.path}: scored in part, in {before}, and this run computes in {teacher.dtype}; pass "
                f"dtype={before} (--dtype {before}) to go on, or overwrite (--overwrite) to begin anew"
            )
        clear(corpus)
    return teacher


def _found(corpus: Corpus, *, overwrite: bool) -> TeacherRecord | None:
    """The record in the corpus's folder; with `overwrite`, scores whose record is broken are removed."""
    try:
        _ = corpus.teacher_tasks
        return TeacherRecord.read(corpus.path)
    except CorpusError:
        if not overwrite:
            raise
        clear(corpus)
        return None


def clear(corpus: Corpus) -> None:
    """Remove all scores, and the record last: if a run is killed here, the rest belongs to one teacher."""
    folder = corpus.path / TEACHER_FOLDER
    for file in folder.glob("part-*.arrow"):
        file.unlink()
    for name in (TRAINED_FILE, RECORD_FILE):
        (folder / name).unlink(missing_ok=True)


def is_scored(shard: Shard, teacher: TeacherRecord) -> bool:
    """Whether the store has all scores of this teacher for the shard."""
    scores = stored(shard, teacher)
    return scores is not None and scores.share >= teacher.share


def stored(shard: Shard, teacher: TeacherRecord) -> Scores | None:
    """The scores of this teacher for the shard, of whatever share of the tasks; None where there are none."""
    try:
        scores = shard.scores
    except CorpusError:
        return None  # broken, or of another corpus: to be replaced
    if scores is None or (scores.teacher, scores.top_k) != (teacher.identity, teacher.top_k):
        return None
    return scores


def write(shard: Shard, scores: Scores) -> None:
    """Store a whole shard's scores in one step; a `shard` whose scores were read before keeps those.

    Raises:
        CorpusError: the shard is a selection's, or the scores are not as many as its agent's tokens.
    """
    if shard.selected is not None:
        raise CorpusError(f"{shard.path}: scores are written for whole shards; score the whole corpus")
    if len(scores.entropy) != (rows := int(shard.action.sum())):
        raise CorpusError(f"{shard.path}: {rows} of the agent's tokens, but {len(scores.entropy)} entropies")
    write_scores(shard.path, shard.digest, scores)


@dataclass(frozen=True, slots=True)
class TopTokens:
    """A teacher's distributions at n positions, over its k likeliest tokens and all others together.

    ids: uint32 (n, k); probabilities: float32 (n, k); tail: float32 (n), the others' probability.
    """

    ids: NDArray[np.uint32]
    probabilities: NDArray[np.float32]
    tail: NDArray[np.float32]


class CachedTeacher:
    """The distributions that a teacher's pass over a corpus stored, read row by row from the mapped files.

    They are those of the teacher in the same window, with one exception: a unit that is supervised in one
    window because the edge of the previous one cuts through it. The store has the distribution of the
    previous window, in which the unit has more context.
    """

    def __init__(self, corpus: Corpus, teacher: TeacherIdentity) -> None:
        """Open the store of a corpus.

        Raises:
            CorpusError: the corpus has no likely tokens, or those of another model or of other windows.
        """
        record = corpus.teacher
        if record is None or record.top_k is None:
            raise CorpusError(f"{corpus.path}: no teacher's distributions are stored; run lar score --top-k")
        if record.fingerprint != teacher.fingerprint:
            raise CorpusError(
                f"{corpus.path}: scored by another model ({record.name}); run lar score --overwrite --top-k"
            )
        if record.max_length != teacher.max_length:
            raise CorpusError(
                f"{corpus.path}: the teacher read windows of {record.max_length} tokens, "
                f"this run reads {teacher.max_length}; both need the same max_length"
            )
        self._record = record
        self._base_size = corpus.manifest.base_size

    @property
    def precision(self) -> dict[str, Any]:
        """How exactly the distributions are stored, as JSON-ready values: their `top_k` and `dtype`."""
        return {"top_k": self._record.top_k, "dtype": self._record.dtype}

    def likely(self, shard: Shard) -> LikelyTokens:
        """The likely tokens of a whole shard, as they are stored.

        Raises:
            CorpusError: the shard has none, or those of another corpus, or a run of `lar score` was stopped.
        """
        if shard.scores is None or shard.scores.likely is None or not is_scored(shard, self._record):
            raise CorpusError(f"{shard.path}: not scored, though other parts are; run lar score again")
        return shard.scores.likely

    def top(self, shard: Shard, trajectory: int, positions: NDArray[np.int64]) -> TopTokens:
        """The distributions before the agent's tokens at `positions` (n) of one of the shard's trajectories.

        Raises:
            CorpusError: as `likely` does, or the file has numbers that are not a distribution.
        """
        begin, end = shard.offsets[trajectory : trajectory + 2].tolist()
        rows = shard.action_offsets[trajectory] + np.cumsum(shard.action[begin:end])[positions] - 1
        ids, logprob, tail = (column[rows] for column in self.likely(shard))
        logprob = logprob.astype(np.float32)
        # A little above 0 is rounding; NaN is below nothing.
        possible = (logprob < 0.01).all() and (tail >= 0).all() and (tail < 1.01).all()
        if not possible or (ids >= self._base_size).any():
            raise CorpusError(f"{scores_file(shard.path)}: broken scores (not the probabilities of tokens)")
        probabilities, tail = np.exp(logprob), np.minimum(tail, 1)
        none = ~np.isfinite(logprob).any(-1)
        probabilities[none], tail[none] = 0, 1
        # The tail is not rounded to float16, so it is kept, and the others are scaled to a sum of 1.
        probabilities *= ((1 - tail) / np.where(none, 1, probabilities.sum(-1)))[:, None]
        return TopTokens(ids, probabilities, tail)
