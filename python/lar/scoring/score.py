"""One pass of a teacher over a corpus: its entropy before each of the agent's tokens, and their probability.

Conversations longer than the teacher reads are read in windows that together hold all of the agent's tokens
(`lar.corpus.windows`). The windows of a shard are sorted by length and padded on the right. A causal model
never looks to the right, so no mask is needed and padding changes nothing. Only the positions before the
agent's tokens go through the model's head.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lar.corpus import Corpus, Shard
from lar.corpus.backend import Backend
from lar.corpus.windows import windows
from lar.errors import CorpusError, OptionError
from lar.models.causal_lm import (
    Head,
    autocast,
    context_length,
    embedding_rows,
    fingerprint,
    head_of,
    hidden_states,
    load_model,
)
from lar.models.out_of_memory import advise_on_memory
from lar.scoring.distribution import EntropyDistribution
from lar.scoring.teacher_cache import CacheIdentity, TopTokens, is_cached, write_top_tokens
from lar.utils.progress import Progress, silent

QUANTILES = (0.05, 0.1, 0.25, 0.5, 0.6, 0.75, 0.9, 0.95)
THRESHOLDS = (0.05, 0.25, 0.5, 1.0, 2.0)  # nats


def score(
    corpus: Corpus,
    model: Any,
    *,
    batch_tokens: int | None = None,
    max_length: int | None = None,
    top_k: int | None = None,
    dtype: str = "auto",
    device: str | None = None,
    overwrite: bool = False,
    backend: Backend | None = None,
    progress: Progress = silent,
) -> Corpus:
    """Write the teacher's entropies and log-probabilities (nats, float16) into the corpus's shards.

    The agent's tokens get them, all others and a trajectory's first token NaN. Shards that this teacher has
    scored already are skipped, so a run that was killed goes on where it stopped.

    Args:
        corpus: the whole corpus, no selection of it.
        model: a checkpoint folder or a causal model of transformers; its embedding has the corpus's base ids.
        batch_tokens: tokens of a batch, padding included (a longer trajectory is a batch of its own);
            None for 4,096 on a CPU and 32,768 on a GPU.
        max_length: tokens that the teacher reads at a time (see `lar.corpus.windows`); None for the model's
            own context. To share `top_k` with a distillation, its max_length.
        top_k: keep so many of the teacher's most likely tokens before each of the agent's, for distillations
            with `cached_teacher` (6 k + 4 bytes each, in the corpus's folder); None keeps nothing.
        dtype: of the weights of a folder; "auto" for bfloat16 where the device computes in it natively.
        device: for example "cpu" or "cuda:0"; None for the GPU if there is one.
        overwrite: drop the scores of another teacher, which are refused otherwise.
        backend: a cluster, each of whose devices loads the teacher from its folder; None for this process.
        progress: counts tokens.

    Raises:
        CorpusError: the corpus has the scores of another teacher, or ids that the model has no row for.
    """
    loading: dict[str, Any] = {
        "batch_tokens": batch_tokens,
        "max_length": max_length,
        "top_k": top_k,
        "dtype": dtype,
        "device": device,
    }
    if backend is not None:
        return backend.score(corpus, model, overwrite=overwrite, progress=progress, **loading)
    scorer = Scorer.load(model, **loading)
    record = scorer.record
    claim(corpus, record, overwrite=overwrite)
    done = 0
    for shard in corpus.shards():
        if not is_scored(shard, record, top_k):
            write(corpus, shard, record, scorer.score(shard, progress, done, corpus.num_tokens))
        done += len(shard.tokens)
        progress(done, corpus.num_tokens)
    return corpus


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


def next_token_scores(logits: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
    """Entropy and log-probability (n each, nats) of float32 logits (n, B), overwritten, and tokens (n)."""
    logits -= logits.max(-1, keepdim=True).values  # so that the entropy's difference below loses no digits
    picked = logits.gather(-1, tokens[:, None])[:, 0]
    total = logits.logsumexp(-1)
    probability = (logits - total[:, None]).exp_()
    # -inf logits (rows that a model masks) have probability 0 and must not turn 0 * inf into NaN.
    expected = (probability * logits.clamp_min_(-1e30)).sum(-1)
    return (total - expected).clamp_min_(0), picked - total


class Scores(NamedTuple):
    """A shard's scores: entropy and logprob, float16 (n) nats, and where asked for the likeliest tokens."""

    entropy: NDArray[np.float16]
    logprob: NDArray[np.float16]
    top: TopTokens | None


@dataclass(frozen=True)
class TeacherRecord:
    """What a corpus remembers of the model that scored it; the first two say whether it is the same one.

    rows: embedding rows of the model, which must be the corpus's; they are not remembered.
    """

    fingerprint: str
    max_length: int | None
    name: str
    dtype: str
    rows: int

    @property
    def cache(self) -> CacheIdentity:
        """What a cache of this teacher's likeliest tokens is of."""
        return CacheIdentity(self.fingerprint, self.max_length)


def is_scored(shard: Shard, teacher: TeacherRecord, top_k: int | None) -> bool:
    """Whether the shard holds this teacher's scores, and its cache if one is asked for."""
    return shard.scored and (top_k is None or is_cached(shard, teacher.cache, top_k))


def write(corpus: Corpus, shard: Shard, teacher: TeacherRecord, scores: Scores) -> None:
    """Store a shard's scores, the cache first: what counts as scored is complete."""
    if scores.top is not None:
        write_top_tokens(shard, teacher.cache, scores.top)
    corpus.write_scores(shard, scores.entropy, scores.logprob)


class Scorer:
    """A teacher that scores the trajectories of one shard after another."""

    def __init__(
        self,
        teacher: Any,
        name: str,
        batch_tokens: int,
        max_length: int | None,
        top_k: int | None = None,
    ) -> None:
        """Take a model that is where it computes; `load` says what the numbers are."""
        self.teacher = teacher.eval()
        self.head: Head = head_of(teacher)
        self.name = name
        self.batch_tokens = batch_tokens
        self.max_length = max_length
        self.top_k = top_k
        self.rows = embedding_rows(teacher)

    @classmethod
    def load(
        cls,
        model: Any,
        *,
        batch_tokens: int | None,
        max_length: int | None,
        dtype: str,
        device: str | None,
        top_k: int | None = None,
    ) -> "Scorer":
        """The scorer for the arguments of `score`; raises OptionError for a number that is not positive."""
        given = (("batch_tokens", batch_tokens), ("max_length", max_length), ("top_k", top_k))
        for name, value in given:
            if value is not None and value < 1:
                raise OptionError(f"{name} must be positive, not {value}")
        teacher = load_model(model, dtype=dtype, device=device)
        name = Path(model).resolve().name if isinstance(model, str | Path) else type(teacher).__name__
        batch_tokens = batch_tokens or (32_768 if teacher.device.type == "cuda" else 4_096)
        return cls(teacher, name, batch_tokens, max_length or context_length(teacher), top_k)

    @property
    def record(self) -> TeacherRecord:
        """What the corpus shall remember."""
        return TeacherRecord(
            fingerprint=fingerprint(self.teacher),
            max_length=self.max_length,
            name=self.name,
            dtype=str(self.teacher.dtype).removeprefix("torch."),
            rows=self.rows,
        )

    @torch.inference_mode()
    def score(
        self, shard: Shard, progress: Progress = silent, done: int = 0, total: int | None = None
    ) -> Scores:
        """The scores of a shard; `progress` goes on from `done` of `total` tokens."""
        scores = _empty_scores(shard, self.top_k and min(self.top_k, self.rows))
        readings = list(_readings(shard, self.max_length))
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

    def _score_batch(
        self, shard: Shard, batch: list["_Reading"], scores: Scores, row_of: NDArray[np.int64]
    ) -> None:
        """Fill in the scores of what the agent says in the readings of `batch`."""
        places = np.concatenate([reading.positions[reading.scored] for reading in batch])
        rows = np.repeat(np.arange(len(batch)), [len(reading.scored) for reading in batch])
        before = np.concatenate([reading.scored - 1 for reading in batch])
        tokens = torch.from_numpy(shard.tokens[places].astype(np.int64)).to(self.teacher.device)
        with autocast(self.teacher):
            ids = _pad([shard.tokens[reading.positions] for reading in batch]).to(self.teacher.device)
            hidden = hidden_states(self.teacher, ids)[torch.from_numpy(rows), torch.from_numpy(before)]
            size = self.head.chunk_size(self.rows)
            for at in range(0, len(places), size):
                logits = self.head(hidden[at : at + size])[:, : self.rows]
                self._keep(logits, tokens[at : at + size], places[at : at + size], scores, row_of)

    def _keep(
        self,
        logits: Tensor,
        tokens: Tensor,
        places: NDArray[np.int64],
        scores: Scores,
        row_of: NDArray[np.int64],
    ) -> None:
        """Store what the logits (m, B) before `tokens` (m), which stand at `places`, say; overwrites them."""
        if scores.top is not None:
            ids, probabilities, tail = most_likely(logits, scores.top.ids.shape[1])
            cached = row_of[places]
            scores.top.ids[cached] = ids.cpu().numpy()
            scores.top.probabilities[cached] = probabilities.cpu().numpy()
            scores.top.tail[cached] = tail.cpu().numpy()
        entropy, logprob = next_token_scores(logits, tokens)
        scores.entropy[places] = entropy.cpu().numpy()
        scores.logprob[places] = logprob.cpu().numpy()


def most_likely(logits: Tensor, k: int) -> tuple[Tensor, Tensor, Tensor]:
    """The k likeliest tokens, their probabilities (n, k each) and all others' (n), of logits (n, B)."""
    total = logits.logsumexp(-1, keepdim=True)
    top, ids = logits.topk(k, dim=-1)
    others = logits.scatter(1, ids, -math.inf).logsumexp(-1) - total[:, 0]
    return ids, (top - total).exp(), others.exp()


@dataclass(frozen=True, slots=True)
class _Reading:
    """A window of a shard: positions (n) in its tokens, and which (m, 1 and above) of those are scored."""

    positions: NDArray[np.int64]
    scored: NDArray[np.int64]


def _readings(shard: Shard, max_length: int | None) -> Iterator[_Reading]:
    for begin, end in pairwise(shard.offsets.tolist()):
        action = shard.action[begin:end]
        for window in windows(action, max_length or len(action)):
            positions = window.positions()
            scored = np.flatnonzero(action[positions] & (positions >= window.new))
            yield _Reading(begin + positions, scored)


def _empty_scores(shard: Shard, top_k: int | None) -> Scores:
    """Scores to be filled in: NaN, and where nothing is ever filled in (a first token) no likely tokens."""
    entropy, logprob = (np.full(len(shard.tokens), np.nan, dtype=np.float16) for _ in range(2))
    if not top_k:
        return Scores(entropy, logprob, None)
    shape = int(shard.action.sum()), top_k
    ids, probabilities = np.zeros(shape, dtype=np.uint32), np.zeros(shape, dtype=np.float32)
    return Scores(entropy, logprob, TopTokens(ids, probabilities, np.ones(shape[0], dtype=np.float32)))


def batches_by_length(lengths: Sequence[int], batch_tokens: int) -> Iterator[NDArray[np.int64]]:
    """Yield the indices of batches, sequences of like length together, longest first.

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


def claim(corpus: Corpus, teacher: TeacherRecord, *, overwrite: bool) -> None:
    """Record the teacher before its first score; with `overwrite` drop the scores of another.

    Raises:
        CorpusError: the corpus has the scores of another teacher, or ids that this one has no row for.
    """
    size = corpus.manifest.base_size
    if (teacher.rows != size) if corpus.manifest.base_size_is_known else (teacher.rows < size):
        raise CorpusError(f"{corpus.path}: made for {size} embedding rows, the model has {teacher.rows}")
    mine = {"fingerprint": teacher.fingerprint, "max_length": teacher.max_length}
    found = corpus.manifest.teacher
    if found is not None and {key: found.get(key) for key in mine} != mine:
        if not overwrite:
            raise CorpusError(
                f"{corpus.path}: scored by another teacher ({found.get('name')}, max_length "
                f"{found.get('max_length')}); pass overwrite (--overwrite) to replace its scores"
            )
        corpus.clear_scores()
    corpus.record_teacher({**mine, "name": teacher.name, "dtype": teacher.dtype})
