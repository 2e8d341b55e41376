"""One pass of a teacher over a corpus: its entropy before each token, and each token's log-probability.

Sequences of a shard are sorted by length and padded on the right. A causal model never looks to the right, so
no mask is needed and padding changes nothing; positions of padding are not looked at.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lar.causal_model import (
    Head,
    autocast,
    context_length,
    embedding_rows,
    fingerprint,
    head_of,
    hidden_states,
    load_model,
)
from lar.corpus import Corpus, EntropyDistribution, Shard
from lar.corpus.entropies import ShardMap
from lar.errors import CorpusError, OptionError
from lar.progress import Progress, silent

QUANTILES = (0.05, 0.1, 0.25, 0.5, 0.6, 0.75, 0.9, 0.95)
THRESHOLDS = (0.05, 0.25, 0.5, 1.0, 2.0)  # nats


def score(
    corpus: Corpus,
    model: Any,
    *,
    batch_tokens: int | None = None,
    max_length: int | None = None,
    dtype: str = "auto",
    device: str | None = None,
    overwrite: bool = False,
    progress: Progress = silent,
) -> Corpus:
    """Write the teacher's entropies and log-probabilities (nats, float16) into the corpus's shards.

    The first token of a trajectory and those beyond `max_length` get NaN. Shards that this teacher has
    scored already are skipped, so a run that was killed goes on where it stopped.

    Args:
        corpus: the whole corpus, no selection of it.
        model: a checkpoint folder or a causal model of transformers; its embedding has the corpus's base ids.
        batch_tokens: tokens of a batch, padding included (a longer trajectory is a batch of its own);
            None for 4,096 on a CPU and 32,768 on a GPU.
        max_length: tokens of a trajectory that the teacher reads; None for the model's own context.
        dtype: of the weights of a folder; "auto" for bfloat16 where the device computes in it natively.
        device: for example "cpu" or "cuda:0"; None for the GPU if there is one.
        overwrite: drop the scores of another teacher, which are refused otherwise.
        progress: counts tokens.

    Raises:
        CorpusError: the corpus has the scores of another teacher, or ids that the model has no row for.
    """
    scorer = Scorer.load(model, batch_tokens=batch_tokens, max_length=max_length, dtype=dtype, device=device)
    claim(corpus, scorer.record, overwrite=overwrite)
    done = 0
    for shard in corpus.shards():
        if not shard.scored:
            corpus.write_scores(shard, *scorer.score(shard, progress, done, corpus.num_tokens))
        done += len(shard.tokens)
        progress(done, corpus.num_tokens)
    return corpus


def entropy_quantiles(corpus: Corpus, map_shards: ShardMap | None = None) -> dict[str, Any]:
    """The distribution of the entropies before the agent's tokens, in nats, as JSON-ready figures.

    `map_shards` is that of `EntropyDistribution.of`. Returns `tokens`, `mean`, `quantiles` ({"0.5": nats})
    and `at_or_under` ({"0.05": share of the tokens}).

    Raises:
        CorpusError: the corpus is not scored.
    """
    found = EntropyDistribution.of(corpus, map_shards)
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


class Scorer:
    """A teacher that scores the trajectories of one shard after another."""

    def __init__(self, teacher: Any, name: str, batch_tokens: int, max_length: int | None) -> None:
        """Take a model that is where it computes; `load` says what the numbers are."""
        self.teacher = teacher.eval()
        self.head: Head = head_of(teacher)
        self.name = name
        self.batch_tokens = batch_tokens
        self.max_length = max_length

    @classmethod
    def load(
        cls, model: Any, *, batch_tokens: int | None, max_length: int | None, dtype: str, device: str | None
    ) -> "Scorer":
        """The scorer for the arguments of `score`; raises OptionError for a number that is not positive."""
        for name, value in (("batch_tokens", batch_tokens), ("max_length", max_length)):
            if value is not None and value < 1:
                raise OptionError(f"{name} must be positive, not {value}")
        teacher = load_model(model, dtype=dtype, device=device)
        name = Path(model).resolve().name if isinstance(model, str | Path) else type(teacher).__name__
        batch_tokens = batch_tokens or (32_768 if teacher.device.type == "cuda" else 4_096)
        return cls(teacher, name, batch_tokens, max_length or context_length(teacher))

    @property
    def record(self) -> TeacherRecord:
        """What the corpus shall remember."""
        return TeacherRecord(
            fingerprint=fingerprint(self.teacher),
            max_length=self.max_length,
            name=self.name,
            dtype=str(self.teacher.dtype).removeprefix("torch."),
            rows=embedding_rows(self.teacher),
        )

    @torch.inference_mode()
    def score(
        self, shard: Shard, progress: Progress = silent, done: int = 0, total: int | None = None
    ) -> tuple[NDArray[np.float16], NDArray[np.float16]]:
        """Entropy and log-probability of each token of `shard`, float16 (n).

        `progress` goes on from `done` of `total` tokens.
        """
        entropy = np.full(len(shard.tokens), np.nan, dtype=np.float16)
        logprob = np.full(len(shard.tokens), np.nan, dtype=np.float16)
        for batch in batches_by_length(shard.offsets, self.batch_tokens, self.max_length):
            for begin, (h, lp) in zip(batch[:, 0], self._score_batch(shard.tokens, batch), strict=True):
                entropy[begin + 1 : begin + 1 + len(h)] = h
                logprob[begin + 1 : begin + 1 + len(lp)] = lp
            done += int((batch[:, 1] - batch[:, 0]).sum())
            progress(done, total)
        return entropy, logprob

    def _score_batch(self, tokens: NDArray[np.uint32], batch: NDArray[np.int64]) -> list[Any]:
        """Scores of the tokens after the first of each sequence tokens[begin:end] of `batch` (m, 2)."""
        ids, lengths = _pad(tokens, batch)
        ids = ids.to(self.teacher.device)
        inside = torch.arange(ids.shape[1] - 1)[None] < (lengths - 1)[:, None]
        inside = inside.to(ids.device)
        with autocast(self.teacher):
            hidden = hidden_states(self.teacher, ids)[:, :-1][inside]
            found = self._score_positions(hidden, ids[:, 1:][inside])
        sizes = (lengths - 1).tolist()
        columns = [column.cpu().numpy().astype(np.float16) for column in found]
        return list(zip(*(np.split(column, np.cumsum(sizes)[:-1]) for column in columns), strict=True))

    def _score_positions(self, hidden: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Entropy and log-probability (n each) from hidden states (n, width), the head applied by chunks."""
        if not len(hidden):
            return hidden.new_zeros(0), hidden.new_zeros(0)
        size = self.head.chunk_size(embedding_rows(self.teacher))
        rows = embedding_rows(self.teacher)
        pieces = [
            next_token_scores(self.head(hidden[at : at + size])[:, :rows], tokens[at : at + size])
            for at in range(0, len(hidden), size)
        ]
        return torch.cat([piece[0] for piece in pieces]), torch.cat([piece[1] for piece in pieces])


def batches_by_length(
    offsets: NDArray[np.int64], batch_tokens: int, max_length: int | None
) -> Iterator[NDArray[np.int64]]:
    """Yield batches (m, 2) of begin and end, sequences of like length together, longest first.

    A batch's rows times its longest length stays within `batch_tokens`, unless it is a single row.
    """
    begins, lengths = offsets[:-1], np.diff(offsets)
    if max_length is not None:
        lengths = np.minimum(lengths, max_length)
    order = np.argsort(-lengths, kind="stable")
    order = order[lengths[order] > 0]
    at = 0
    while at < len(order):
        rows = max(1, batch_tokens // int(lengths[order[at]]))
        chosen = order[at : at + rows]
        yield np.stack([begins[chosen], begins[chosen] + lengths[chosen]], axis=1)
        at += rows


def _pad(tokens: NDArray[np.uint32], batch: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
    """The sequences as rows padded with 0 on the right (m, longest), and their lengths (m)."""
    lengths = batch[:, 1] - batch[:, 0]
    ids = np.zeros((len(batch), int(lengths.max())), dtype=np.int64)
    for row, (begin, end) in enumerate(batch):
        ids[row, : end - begin] = tokens[begin:end]
    return torch.from_numpy(ids), torch.from_numpy(lengths)


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
