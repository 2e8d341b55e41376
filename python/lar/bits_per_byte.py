"""Bits per byte: how many bits a model needs for the agent's text, one measure for units and for tokens."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from lar.causal_model import autocast, hidden_states, load_model
from lar.corpus import Corpus
from lar.distillation.data import Example, Examples, pack
from lar.distillation.loss import FirstTokens, sft
from lar.distillation.student import Student
from lar.errors import CorpusError, OptionError
from lar.progress import Progress, silent


@dataclass(frozen=True, slots=True)
class BitsPerByte:
    """What a model needs for the agent's text of a corpus.

    bits: -log2 of its probability, over all `units`; bytes: of the text in UTF-8; base_tokens: what the units
    stand for; bits_per_byte = bits / bytes.
    """

    bits: float
    bytes: int
    units: int
    base_tokens: int

    @property
    def bits_per_byte(self) -> float:
        """Bits for each byte of the agent's text."""
        return self.bits / self.bytes

    def as_json(self) -> dict[str, Any]:
        """All figures as JSON-ready values."""
        return {**asdict(self), "bits_per_byte": self.bits_per_byte}


def bits_per_byte(
    model: Any,
    corpus: Corpus,
    *,
    max_length: int = 2048,
    batch_tokens: int | None = None,
    progress: Progress = silent,
) -> BitsPerByte:
    """Sum -log2 s(unit) over the agent's units in the canonical parse, and count the bytes of their text.

    A student pays for its units as it would have to write them, so latents that save units but are badly
    predicted cost bits. Conversations longer than `max_length` base tokens are read in windows that together
    hold all of the agent's text (`lar.windows`), the same bytes for every model.

    Args:
        model: a Student, or a plain model (its folder or object) over base tokens.
        corpus: conversations; to be honest, of tasks that neither vocabulary nor training has seen.
        max_length: base tokens of a window.
        batch_tokens: base tokens in a packed batch; None for `max_length`.
        progress: counts examples.

    Raises:
        CorpusError: the corpus has another tokenizer, or nothing that the agent said.
    """
    if max_length < 8:
        raise OptionError(f"max_length must be at least 8, not {max_length}")
    student = model if isinstance(model, Student) else Student.plain(load_model(model), corpus.tokenizer)
    source = Examples(corpus, student.vocabulary, max_length)
    if not len(source):
        raise CorpusError(f"{corpus.path}: holds nothing that the agent said")
    widths = _byte_counts(student)
    bits, done = 0.0, 0
    for group in _groups(source, batch_tokens or max_length):
        bits += _bits(student, group)
        done += len(group)
        progress(done, len(source))
    tokens = np.concatenate([_taught_tokens(example) for example in source])
    units = sum(len(example.taught) for example in source)
    return BitsPerByte(bits, int(widths[tokens].sum()), units, len(tokens))


@torch.inference_mode()
def _bits(student: Student, group: list[Example]) -> float:
    """-log2 of the probability of the group's taught units."""
    was_training = student.training
    student.eval()
    batch = {name: tensor.to(student.device) for name, tensor in pack(group).items()}
    first = FirstTokens(torch.zeros(0, dtype=torch.long), student.vocabulary.base_size)
    size = student.head.chunk_size(student.vocabulary.base_size)
    nats = 0.0
    with autocast(student.base):
        hidden = hidden_states(student.base, batch["units"], batch["unit_positions"])[0, batch["student_at"]]
        for at in range(0, len(hidden), size):
            base, latent = student.logits(hidden[at : at + size])
            nats += float(sft(base, latent, None, batch["labels"][at : at + size], first).unit)
    student.train(was_training)
    return nats / math.log(2)


def _groups(source: Iterable[Example], limit: int) -> Iterator[list[Example]]:
    """Examples in order, as many together as `limit` base tokens allow."""
    group: list[Example] = []
    filled = 0
    for example in source:
        if group and filled + len(example.tokens) > limit:
            yield group
            group, filled = [], 0
        group.append(example)
        filled += len(example.tokens)
    yield group


def _taught_tokens(example: Example) -> NDArray[np.int64]:
    """The base tokens that the example's taught units stand for."""
    ends = np.append(example.starts[1:], len(example.tokens))
    taught = np.zeros(len(example.units), dtype=np.bool_)
    taught[example.taught] = True
    return example.tokens[np.repeat(taught, ends - example.starts)]


def _byte_counts(student: Student) -> NDArray[np.int64]:
    """UTF-8 bytes of each base id, (base_size)."""
    _, offsets = student.vocabulary.tokenizer.token_bytes()
    counts = np.zeros(student.vocabulary.base_size, dtype=np.int64)
    counts[: len(offsets) - 1] = np.diff(offsets.astype(np.int64))
    return counts
