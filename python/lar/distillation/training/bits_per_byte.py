"""Bits per byte: how many bits a model needs for the agent's text, with latents or without."""

import logging
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lar.corpus import Corpus
from lar.corpus.seen_tasks import check_unseen, digests_of
from lar.distillation.data import Example, Examples, pack
from lar.distillation.loss import FirstTokens, sft
from lar.distillation.options import AdaptOptions
from lar.distillation.student import Student
from lar.errors import CorpusError, OptionError
from lar.models.causal_lm import load_model
from lar.models.checks import check_context, check_tokenizer
from lar.models.device import autocast
from lar.models.hidden_states import hidden_states
from lar.models.in_use import evaluating
from lar.models.out_of_memory import advise_on_memory
from lar.utils.progress import Progress, silent

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class BitsPerByte:
    """How many bits a model needs for the agent's text of a corpus, and how it ranks its latents there.

    bits: -log2 of its probability, over all `units`; bytes: of the text in UTF-8; base_tokens: what the units
    stand for; bits_per_byte = bits / bytes. latents: how many of the units are latents; latents_written:
    before how many of those the model's likeliest unit is a latent; explicit_preferred: before how many it
    gives more probability to the latent's first base token, which begins the same text, than to the latent.
    """

    bits: float
    bytes: int
    units: int
    base_tokens: int
    latents: int = 0
    latents_written: int = 0
    explicit_preferred: int = 0

    @property
    def bits_per_byte(self) -> float:
        """Bits per byte of the agent's text."""
        return self.bits / self.bytes

    @property
    def latent_use(self) -> float | None:
        """Share of the latents before which the likeliest unit is a latent; None without latents."""
        return self.latents_written / self.latents if self.latents else None

    @property
    def explicit_preference(self) -> float | None:
        """Share of the latents that are less likely than their own first token; None without latents."""
        return self.explicit_preferred / self.latents if self.latents else None

    def shares(self) -> dict[str, float]:
        """The three ratios by name, without those that are None."""
        shares = {
            "bits_per_byte": self.bits_per_byte,
            "latent_use": self.latent_use,
            "explicit_preference": self.explicit_preference,
        }
        return {name: value for name, value in shares.items() if value is not None}

    def to_dict(self) -> dict[str, Any]:
        """All figures as JSON-ready values."""
        return {**asdict(self), **self.shares()}


def bits_per_byte(
    corpus: Corpus,
    model: Any,
    *,
    max_length: int = AdaptOptions.max_length,
    batch_tokens: int | None = None,
    dtype: str = "auto",
    device: str | None = None,
    allow_seen: bool = False,
    progress: Progress = silent,
) -> BitsPerByte:
    """The bits per byte of a model on the agent's text of `corpus`.

    Bits are -log2 s(unit), summed over the agent's units in the canonical parse. So latents that save units
    but are badly predicted cost bits. Conversations longer than `max_length` base tokens are read in
    windows that together hold all of the agent's text (`lar.corpus.windows`), the same bytes for every model.

    Args:
        corpus: conversations, of tasks that were used for neither the vocabulary nor training. Of a whole
            corpus with a split, the held-out side is measured; a view of selected tasks is used as it is.
        model: a Student, or a plain model (its folder or object) over base tokens.
        max_length: base tokens of a window.
        batch_tokens: base tokens in a packed batch; None for `max_length`.
        dtype: of a model that is given as its folder (see `DistillOptions`).
        device: of such a model, too.
        allow_seen: measure tasks that the model has seen all the same.
        progress: counts examples.

    Raises:
        CorpusError: the corpus has another tokenizer, no text of the agent, or tasks that the model has seen
        (a warning where it has seen all of a corpus without a split).
        TokenizerError: the model has fewer rows than the tokenizer has ids.
        OptionError: `max_length` is too small, or a window is longer than the model's context.
    """
    corpus = corpus.held_out or corpus
    if max_length < 8:
        raise OptionError(f"max_length must be at least 8, not {max_length}")
    check_tokenizer(model, corpus)
    if isinstance(model, Student):
        student = model
    else:
        student = Student.plain(load_model(model, dtype=dtype, device=device), corpus.tokenizer)
    if not allow_seen:
        _check_seen(corpus, student)
    source = Examples(corpus, student.vocabulary, max_length, decode_only=student.decode_only)
    if not len(source):
        raise CorpusError(f"{corpus.path}: holds no text of the agent")
    check_context(student.base, int(source.lengths.max()))
    return measure(student, source, batch_tokens or max_length, progress)


def _check_seen(corpus: Corpus, student: Student) -> None:
    if corpus.is_whole and digests_of(corpus) <= student.seen_tasks:
        logger.warning("every task was seen in training: the bits do not hold for new ones (hold tasks out)")
    else:
        check_unseen(corpus, student.trained_tasks, "the model was trained on")
        check_unseen(corpus, student.vocabulary.mined_tasks, "its vocabulary was mined on")


def measure(
    student: Student, examples: Sequence[Example], batch_tokens: int, progress: Progress = silent
) -> BitsPerByte:
    """The result of `bits_per_byte` for examples that have been cut already."""
    unit_bytes = student.vocabulary.unit_bytes
    sums = dict.fromkeys((item.name for item in fields(BitsPerByte)), 0)
    done = 0
    advice = f"lower batch_tokens (now {batch_tokens}), then max_length"
    with advise_on_memory("measuring bits per byte", advice):
        for group in _groups(examples, batch_tokens):
            for name, value in {**_predicted(student, group), **_text(group, unit_bytes)}.items():
                sums[name] += value
            done += len(group)
            progress(done, len(examples))
    return BitsPerByte(**sums)


# Not inference_mode: its tensors cannot replace sharded parameters while a model is trained.
@torch.no_grad()
def _predicted(student: Student, group: list[Example]) -> dict[str, Any]:
    """The bits of the group's supervised units, and how the student ranks the latents among them."""
    batch = {name: tensor.to(student.device) for name, tensor in pack(group).items()}
    none = FirstTokens(torch.zeros(0, dtype=torch.long), student.vocabulary.base_size)
    first = torch.from_numpy(student.vocabulary.first_tokens.astype(np.int64)).to(student.device)
    size = student.head.chunk_size
    nats, latents = 0.0, np.zeros(3, dtype=np.int64)
    with evaluating(student), autocast(student.base):
        row = (batch["units"], batch["unit_positions"], batch.get("streams"))
        hidden = hidden_states(student.base, *row)[0, batch["student_at"]]
        for at in range(0, len(hidden), size):
            base, latent = student.logits(hidden[at : at + size])
            labels = batch["labels"][at : at + size]
            nats += float(sft(base, latent, None, labels, none).unit)
            latents += _latents_written(base, latent, labels, first)
    written, preferred = latents[1:].tolist()
    return {
        "bits": nats / math.log(2),
        "latents": int(latents[0]),
        "latents_written": written,
        "explicit_preferred": preferred,
    }


def _latents_written(base: Tensor, latent: Tensor, labels: Tensor, first: Tensor) -> NDArray[np.int64]:
    """(3): latents among `labels` (n), those where a latent is likeliest, those less likely than their token.

    base (n, B) and latent (n, K) are logits, first (K) the latents' first tokens.
    """
    at = labels >= base.shape[1]
    if not latent.shape[1] or not bool(at.any()):
        return np.zeros(3, dtype=np.int64)
    base, latent, labels = base[at], latent[at], labels[at] - base.shape[1]
    own = latent.gather(1, labels[:, None])[:, 0]
    explicit = base.gather(1, first[labels][:, None])[:, 0]
    written = latent.amax(-1) > base.amax(-1)
    return np.array([len(labels), int(written.sum()), int((explicit > own).sum())])


def _text(group: list[Example], unit_bytes: NDArray[np.int64]) -> dict[str, int]:
    """Bytes, units and tokens of the group's supervised units; unit_bytes (B + K): bytes of each unit."""
    return {
        "bytes": sum(int(unit_bytes[example.units[example.supervised]].sum()) for example in group),
        "units": sum(len(example.supervised) for example in group),
        "base_tokens": sum(int(_tokens_begun(example)[example.supervised].sum()) for example in group),
    }


def _tokens_begun(example: Example) -> NDArray[np.int64]:
    """How many base tokens begin in each of the example's units; int64 (u)."""
    first = np.append(example.starts + ~example.begins, len(example.tokens))
    return np.diff(first)


def _groups(source: Iterable[Example], limit: int) -> Iterator[list[Example]]:
    """Groups of examples, in order, each of at most `limit` base tokens."""
    group: list[Example] = []
    filled = 0
    for example in source:
        if group and filled + len(example.tokens) > limit:
            yield group
            group, filled = [], 0
        group.append(example)
        filled += len(example.tokens)
    yield group
