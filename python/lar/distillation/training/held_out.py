"""Held-out conversations, evaluated while a model is trained."""

from collections.abc import Sequence

import numpy as np

from lar.corpus import Corpus
from lar.distillation.data import Example, Examples
from lar.distillation.options import DistillOptions
from lar.distillation.student import Student
from lar.distillation.training.bits_per_byte import BitsPerByte, measure
from lar.errors import CorpusError
from lar.vocabulary.vocabulary import LatentVocabulary


class HeldOut:
    """Held-out windows, drawn by the seed: the same at every evaluation of every run with this seed."""

    def __init__(self, corpus: Corpus, vocabulary: LatentVocabulary, options: DistillOptions) -> None:
        self.examples = Examples(corpus, vocabulary, options.max_length, decode_only=options.decode_only)
        if not len(self.examples):
            raise CorpusError(f"{corpus.path}: the held-out side holds no text of the agent")
        self.batch_tokens = options.batch_tokens or options.max_length
        self.chosen = _sample(len(self.examples), options.evaluated_windows, options.seed)

    def measure(self, student: Student) -> BitsPerByte:
        """The student's bits per byte on the agent's text in these windows."""
        cut: Sequence[Example] = self.examples
        if len(self.chosen) < len(cut):
            cut = [self.examples[index] for index in self.chosen]
        return measure(student, cut, self.batch_tokens)


def _sample(number: int, wanted: int | None, seed: int) -> list[int]:
    """`wanted` of `number` indices, sorted."""
    if wanted is None or wanted >= number:
        return list(range(number))
    drawn = np.random.default_rng(seed).choice(number, wanted, replace=False)
    return sorted(drawn.tolist())
