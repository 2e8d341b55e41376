"""One pass of a teacher over a corpus: its entropies and likeliest tokens before each of the agent's tokens.

Conversations longer than the teacher's context are read in windows that together contain all of the agent's
tokens (`lar.corpus.windows`). The windows of a shard are sorted by length and padded on the right. Attention
is causal, so no mask is needed and padding changes nothing. Only the positions before the agent's tokens go
through the model's head.
"""

import logging
import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lar.corpus import Corpus, Shard
from lar.corpus.backend import Backend
from lar.corpus.scores import LikelyTokens, Scores, TeacherRecord
from lar.corpus.selection import InSample, Keep
from lar.corpus.task_sample import sample_share
from lar.corpus.windows import LEAST_LENGTH, windows
from lar.errors import OptionError
from lar.models.adapter import unwrapped
from lar.models.causal_lm import load_model
from lar.models.checks import check_context, check_tokenizer, context_length
from lar.models.device import autocast
from lar.models.fingerprint import fingerprint
from lar.models.head import Head, head_of
from lar.models.hidden_states import hidden_states
from lar.models.out_of_memory import advise_on_memory
from lar.models.trained_tasks import check_model_unseen, trained_tasks_of
from lar.scoring import store
from lar.utils.arguments import opened
from lar.utils.files import only_writer
from lar.utils.paths import StrPath
from lar.utils.progress import Progress, silent

logger = logging.getLogger(__name__)


def score(
    corpus: Corpus | StrPath,
    model: Any,
    *,
    batch_tokens: int | None = None,
    max_length: int | None = None,
    top_k: int | None = None,
    most_tokens: int | None = None,
    dtype: str = "auto",
    device: str | None = None,
    overwrite: bool = False,
    backend: Backend | None = None,
    progress: Progress = silent,
) -> Corpus:
    """Store the teacher's entropies, and its likely tokens where asked for, in the corpus's folder.

    The shards stay as they are. Those that this teacher has scored already are skipped, so a killed run
    can be resumed. Scores are read as `Shard.entropy`.

    Args:
        corpus: the whole corpus or its folder, not a selection. Tasks that it holds out are scored too.
        model: a checkpoint folder or a causal model of transformers. Its embedding has a row for each id of
            the corpus's tokenizer; scores are over those ids, further rows of the model are ignored.
        batch_tokens: tokens of a batch, padding included (a longer trajectory is a batch alone);
            None for 4,096 on a CPU and 32,768 on a GPU.
        max_length: tokens that the teacher reads at a time (see `lar.corpus.windows`), 8 or more; None for
            the model's own context. For a distillation that reads `top_k`, give that of the distillation.
        top_k: store this many of the teacher's likeliest tokens before each of the agent's, for distillations
            with `cached_teacher` (6 k + 4 bytes each); None stores only the entropies (2 bytes each).
            Scores that are there are kept, unless they have fewer likely tokens than this.
        most_tokens: score only a sample of the tasks: those of about so many tokens of the training side,
            prompts included, and `FEWEST` of them at least (`lar.corpus.task_sample`). With an entropy gate,
            `lar.mine` then finds segments in these tasks and judges them there. None: all tasks, or if a run
            was stopped, those that it was to score. Scores that are there are kept.
        dtype: of the weights of a folder; "auto" for bfloat16 where the device computes in it natively.
        device: for example "cpu" or "cuda:0"; None for the GPU if there is one.
        overwrite: replace the scores of another teacher, which are refused otherwise.
        backend: a cluster, each of whose devices loads the teacher from its folder; None for this process.
        progress: counts tokens.

    Raises:
        CorpusError: the corpus is a selection, has the scores of another teacher, or holds out tasks that the
        model was trained on.
        TokenizerError: the model has fewer rows than the corpus's tokenizer has ids.
        OptionError: a number is out of its range, a window is longer than the model's context, another
        process is writing to the corpus's folder, or `most_tokens` goes with `top_k`, which distillation
        reads for all tasks.
    """
    options: dict[str, Any] = {
        "batch_tokens": batch_tokens,
        "max_length": max_length,
        "top_k": top_k,
        "dtype": dtype,
        "device": device,
    }
    corpus = opened(Corpus, corpus, "lar.score(corpus, model)")
    check_tokenizer(model, corpus)
    check_model_unseen(corpus.held_out, model)
    if backend is not None:
        options["most_tokens"] = most_tokens
        return backend.score(corpus, model, overwrite=overwrite, progress=progress, **options)
    with only_writer(corpus.path):
        share = share_for(corpus, most_tokens, top_k)
        scorer = Scorer.load(model, **loading_for(corpus, share, **options))
        trained_tasks = trained_tasks_of(model)
        record = store.claim(
            corpus, scorer.record, overwrite=overwrite, share=share, trained_tasks=trained_tasks
        )
        done = 0
        for shard in corpus.shards():
            if store.is_scored(shard, record):
                logger.info("%s: scored already", shard.path)
            else:
                store.write(shard, scorer.score(shard, record, progress, done, corpus.num_tokens))
            done += len(shard.tokens)
            progress(done, corpus.num_tokens)
    return corpus


def share_for(corpus: Corpus, most_tokens: int | None, top_k: int | None) -> float | None:
    """The share of the tasks to score (see `TeacherRecord`), None where it was not asked for.

    The sample is that of the training side, so that mining has its `FEWEST` tasks.

    Raises:
        OptionError: `most_tokens` is not positive, or goes with `top_k`.
    """
    if most_tokens is None:
        return None
    if top_k is not None:
        raise OptionError("top_k is for distillation, which reads all tasks: leave most_tokens out")
    if most_tokens < 1:
        raise OptionError(f"most_tokens must be at least 1, not {most_tokens}")
    return sample_share(corpus.training, most_tokens)


def loading_for(
    corpus: Corpus, share: float | None, *, max_length: int | None, **others: Any
) -> dict[str, Any]:
    """The arguments of `Scorer.load` for a corpus, from those that `score` takes."""
    # Without max_length, or with one that is refused, windows are as long as the context at most.
    is_bounded = (max_length or 0) >= LEAST_LENGTH
    longest = _longest_window(corpus, max_length, InSample(share or 1.0)) if is_bounded else 0
    return {**others, "max_length": max_length, "base_size": corpus.manifest.base_size, "longest": longest}


def entropies(logits: Tensor) -> Tensor:
    """The entropy (n, nats) of each row of float32 logits (n, B), which are overwritten."""
    logits -= logits.max(-1, keepdim=True).values  # so that the difference below loses no digits
    total = logits.logsumexp(-1)
    probability = (logits - total[:, None]).exp_()
    # -inf logits (rows that a model masks) have probability 0; unclamped, 0 * inf would be NaN.
    expected = (probability * logits.clamp_min_(-1e30)).sum(-1)
    return (total - expected).clamp_min_(0)


class Scorer:
    """A teacher that scores the trajectories of one shard after another."""

    def __init__(
        self,
        teacher: Any,
        name: str,
        base_size: int,
        batch_tokens: int,
        max_length: int | None,
        top_k: int | None = None,
    ) -> None:
        """Take a model that is on its device; `score` describes the numbers."""
        self.teacher = teacher.eval()
        self.head: Head = head_of(teacher, base_size)
        self.name = name
        self.batch_tokens = batch_tokens
        self.max_length = max_length
        self.top_k = top_k

    @classmethod
    def load(
        cls,
        model: Any,
        *,
        base_size: int,
        batch_tokens: int | None,
        max_length: int | None,
        dtype: str,
        device: str | None,
        top_k: int | None = None,
        longest: int = 0,
    ) -> "Scorer":
        """The scorer for the arguments of `score`, over the `base_size` ids of the corpus's tokenizer.

        `longest` is the length of the longest window. Raises OptionError for a number that is too small or a
        window that the model cannot read, TokenizerError for a model with too few rows.
        """
        given = (
            ("batch_tokens", batch_tokens, 1),
            ("max_length", max_length, LEAST_LENGTH),
            ("top_k", top_k, 1),
        )
        for name, value, least in given:
            if value is not None and value < least:
                raise OptionError(f"{name} must be at least {least}, not {value}")
        teacher = unwrapped(load_model(model, dtype=dtype, device=device))
        check_context(teacher, longest)
        name = Path(model).resolve().name if isinstance(model, str | os.PathLike) else type(teacher).__name__
        batch_tokens = batch_tokens or (32_768 if teacher.device.type == "cuda" else 4_096)
        return cls(teacher, name, base_size, batch_tokens, max_length or context_length(teacher), top_k)

    @cached_property
    def record(self) -> TeacherRecord:
        """The record of this teacher, with the `top_k` that was asked for."""
        return TeacherRecord(
            fingerprint=fingerprint(self.teacher),
            max_length=self.max_length,
            name=self.name,
            dtype=str(self.teacher.dtype).removeprefix("torch."),
            top_k=self.top_k and min(self.top_k, self.head.base_size),
        )

    @torch.inference_mode()
    def score(
        self,
        shard: Shard,
        record: TeacherRecord,
        progress: Progress = silent,
        done: int = 0,
        total: int | None = None,
    ) -> Scores:
        """The scores of a shard, of the tasks and with the `top_k` of `record`, a claimed one.

        Those of fewer tasks that are stored are kept. `progress` goes on from `done` of `total`.
        """
        scores = self._empty_scores(int(shard.action.sum()), record)
        before = store.stored(shard, record) if record.top_k is None else None
        if before is not None:
            scores.entropy[:] = before.entropy
        has_scores = InSample(0.0 if before is None else before.share)
        readings = list(
            _readings(shard, self.max_length, lambda task: record.has_scored(task) and not has_scores(task))
        )
        row_of = np.cumsum(shard.action) - 1
        read, to_read = 0, sum(len(reading.positions) for reading in readings)
        advice = f"lower batch_tokens (now {self.batch_tokens}), then max_length (now {self.max_length})"
        for batch in batches_by_length([len(reading.positions) for reading in readings], self.batch_tokens):
            chosen = [readings[index] for index in batch]
            with advise_on_memory("scoring", advice):
                self._score_batch(shard, chosen, scores, row_of)
            read += sum(len(reading.positions) for reading in chosen)
            progress(done + len(shard.tokens) * read // to_read, total)
        return scores

    def _empty_scores(self, rows: int, record: TeacherRecord) -> Scores:
        """Empty scores: NaN entropies, and all probability in the tail."""
        entropy, k = np.full(rows, np.nan, dtype=np.float16), record.top_k
        if k is None:
            return Scores(self.record.identity, entropy, None, record.share)
        ids, logprob = np.zeros((rows, k), np.uint32), np.full((rows, k), -np.inf, np.float16)
        likely = LikelyTokens(ids, logprob, np.ones(rows, np.float32))
        return Scores(self.record.identity, entropy, likely, record.share)

    def _score_batch(
        self, shard: Shard, batch: list["_Reading"], scores: Scores, row_of: NDArray[np.int64]
    ) -> None:
        """Fill in the scores before the agent's tokens in the readings of `batch`."""
        rows = row_of[np.concatenate([reading.positions[reading.scored] for reading in batch])]
        sequences = np.repeat(np.arange(len(batch)), [len(reading.scored) for reading in batch])
        before = np.concatenate([reading.scored - 1 for reading in batch])
        with autocast(self.teacher):
            ids = _pad([shard.tokens[reading.positions] for reading in batch]).to(self.teacher.device)
            hidden = hidden_states(self.teacher, ids)[torch.from_numpy(sequences), torch.from_numpy(before)]
            size = self.head.chunk_size
            for at in range(0, len(rows), size):
                logits = self.head(hidden[at : at + size])
                _fill_in(scores, rows[at : at + size], logits)


def _fill_in(scores: Scores, rows: NDArray[np.int64], logits: Tensor) -> None:
    """Fill in some rows (m) of the scores from the logits (m, B) there, which are overwritten."""
    if scores.likely is not None:
        found = most_likely(logits, scores.likely.ids.shape[1])
        columns: tuple[NDArray[Any], ...] = scores.likely
        for column, values in zip(columns, found, strict=True):
            column[rows] = values.cpu().numpy()
    scores.entropy[rows] = entropies(logits).cpu().numpy()


def most_likely(logits: Tensor, k: int) -> tuple[Tensor, Tensor, Tensor]:
    """The k likeliest tokens and their log-probabilities (n, k each), and the others' probability (n).

    `logits` are float32 (n, B).
    """
    total = logits.logsumexp(-1, keepdim=True)
    top, ids = logits.topk(k, dim=-1)
    others = logits.scatter(1, ids, -math.inf).logsumexp(-1) - total[:, 0]
    return ids, top - total, others.exp()


@dataclass(frozen=True, slots=True)
class _Reading:
    """A window of a shard: positions (n) in its tokens, and which (m, 1 and above) of those are scored."""

    positions: NDArray[np.int64]
    scored: NDArray[np.int64]


def _readings(shard: Shard, max_length: int | None, has_scored: Keep) -> Iterator[_Reading]:
    """The windows of a shard, of the tasks that are scored."""
    for task, (begin, end) in zip(shard.tasks, pairwise(shard.offsets.tolist()), strict=True):
        if not has_scored(task):
            continue
        action = shard.action[begin:end]
        for window in windows(action, max_length or len(action)):
            positions = window.positions()
            scored = np.flatnonzero(action[positions] & (positions >= window.new))
            yield _Reading(begin + positions, scored)


def _longest_window(corpus: Corpus, max_length: int | None, has_scored: Keep) -> int:
    shards = corpus.shards()
    readings = (one for shard in shards for one in _readings(shard, max_length, has_scored))
    return max((len(one.positions) for one in readings), default=0)


def batches_by_length(lengths: Sequence[int], batch_tokens: int) -> Iterator[NDArray[np.int64]]:
    """Yield the indices of batches, sequences of similar length together, longest first.

    A batch's rows times its longest length stays within `batch_tokens`, unless it is a single row.
    """
    order = np.argsort(-np.asarray(lengths, dtype=np.int64), kind="stable")
    at = 0
    while at < len(order):
        rows = max(1, batch_tokens // lengths[order[at]])
        yield order[at : at + rows]
        at += rows


def _pad(rows: list[NDArray[np.uint32]]) -> Tensor:
    """Sequences as rows padded with 0 on the right, int64 (m, longest)."""
    ids = np.zeros((len(rows), max(map(len, rows))), dtype=np.int64)
    for padded, row in zip(ids, rows, strict=True):
        padded[: len(row)] = row
    return torch.from_numpy(ids)
