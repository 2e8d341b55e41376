"""What a vocabulary saves: units against base tokens, on tasks that it was not mined on."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lar.corpus import Corpus, Shard
from lar.corpus.backend import Backend, map_shards
from lar.errors import CorpusError
from lar.evaluation.text_agreement import TextLevel, TextLevelComparison
from lar.utils.progress import Progress, silent
from lar.vocabulary.vocabulary import LatentVocabulary


@dataclass
class Counts:
    """Sums over conversations: base tokens and units of the agent, and of all speakers.

    text_level compares the exported tokenizer's ids with the core's parse (`lar.evaluation.text_agreement`).
    """

    trajectories: int = 0
    base_tokens: int = 0
    units: int = 0
    context_base_tokens: int = 0
    context_units: int = 0
    text_level: TextLevel = field(default_factory=TextLevel)

    @property
    def reduction(self) -> float:
        """1 - units / base tokens, over the agent's tokens."""
        return 1 - self.units / self.base_tokens if self.base_tokens else 0.0

    @property
    def context_reduction(self) -> float:
        """1 - units / base tokens, over whole conversations."""
        return 1 - self.context_units / self.context_base_tokens if self.context_base_tokens else 0.0

    def as_dict(self) -> dict[str, Any]:
        """Sums and reductions, for JSON."""
        return {
            "trajectories": self.trajectories,
            "base_tokens": self.base_tokens,
            "units": self.units,
            "reduction": round(self.reduction, 6),
            "context_base_tokens": self.context_base_tokens,
            "context_units": self.context_units,
            "context_reduction": round(self.context_reduction, 6),
            "text_level_difference": round(self.text_level.whole.difference, 6),
            "text_level_difference_action": round(self.text_level.action.difference, 6),
        }

    def __iadd__(self, other: "Counts") -> "Counts":
        self.trajectories += other.trajectories
        self.base_tokens += other.base_tokens
        self.units += other.units
        self.context_base_tokens += other.context_base_tokens
        self.context_units += other.context_units
        self.text_level += other.text_level
        return self


@dataclass
class Evaluation:
    """The result of `evaluate`.

    tasks are those that were measured; in_sample is true where every task was seen in mining, so that
    nothing unseen was left to measure on; seen_tasks is how many tasks of the input the vocabulary was
    mined on: left out, unless in_sample.
    """

    total: Counts = field(default_factory=Counts)
    per_corpus: dict[str, Counts] = field(default_factory=dict)
    lossless: bool = True
    latents_used: int = 0
    tasks: frozenset[str] = frozenset()
    seen_tasks: int = 0
    in_sample: bool = False

    def measures(self, task: str) -> bool:
        """Whether the figures are over this task."""
        return task in self.tasks

    def as_dict(self) -> dict[str, Any]:
        """The whole result, for JSON."""
        return {
            **self.total.as_dict(),
            "lossless": self.lossless,
            "latents_used": self.latents_used,
            "tasks": len(self.tasks),
            "seen_tasks": self.seen_tasks,
            "in_sample": self.in_sample,
            "per_corpus": {name: counts.as_dict() for name, counts in self.per_corpus.items()},
        }


def evaluate(
    vocabulary: LatentVocabulary,
    corpora: Corpus | Mapping[str, Corpus],
    *,
    backend: Backend | None = None,
    progress: Progress = silent,
) -> Evaluation:
    """Count units and base tokens over the tasks of `corpora` that the vocabulary has not seen.

    `corpora` is one corpus, or several by name. The shards are measured on `backend` (None: this process).
    Every conversation is expanded back and compared, token by token. Where all tasks were seen in mining
    they are measured all the same, and the result says `in_sample`. The text of every conversation is encoded
    again by the exported tokenizer, and its ids compared with the parse.

    Raises:
        CorpusError: a corpus has another tokenizer than the vocabulary, or there is nothing to measure.
    """
    if isinstance(corpora, Corpus):
        corpora = {corpora.path.name: corpora}
    for name, corpus in corpora.items():
        check_same_tokenizer(vocabulary, corpus, name)
    tasks = {task for corpus in corpora.values() for task in corpus.tasks}
    seen = {task for task in tasks if vocabulary.has_seen(task)}
    measured = frozenset(tasks - seen or tasks)
    result = Evaluation(tasks=measured, seen_tasks=len(seen), in_sample=bool(tasks) and measured == seen)
    used = np.zeros(vocabulary.size, dtype=np.bool_)
    selections = {name: corpus.select(result.measures) for name, corpus in corpora.items()}
    tokens = sum(corpus.num_tokens for corpus in selections.values())
    if tokens == 0:
        raise CorpusError("nothing to evaluate: no trajectory holds a token")
    measure = _Measure(vocabulary)
    for name, corpus in selections.items():
        result.per_corpus[name] = Counts()
        for counts, latents, lossless in map_shards(measure, corpus, backend):
            used[latents] = True
            result.per_corpus[name] += counts
            result.total += counts
            result.lossless &= lossless
            progress(result.total.context_base_tokens, tokens)
    result.latents_used = int(used.sum())
    return result


def check_same_tokenizer(vocabulary: LatentVocabulary, corpus: Corpus, name: str) -> None:
    """Raise CorpusError unless vocabulary and corpus hold the ids of one tokenizer."""
    if corpus.tokenizer.fingerprint != vocabulary.tokenizer_fingerprint:
        raise CorpusError(
            f"{name}: the corpus was built with tokenizer {corpus.tokenizer.fingerprint[:12]}, "
            f"the vocabulary with {vocabulary.tokenizer_fingerprint[:12]}"
        )


class _Measure:
    """Measures a shard; each process compiles the comparison of texts once."""

    def __init__(self, vocabulary: LatentVocabulary) -> None:
        self._vocabulary = vocabulary

    @cached_property
    def _comparison(self) -> TextLevelComparison:
        return TextLevelComparison(self._vocabulary)

    def __reduce__(self) -> tuple[type["_Measure"], tuple[LatentVocabulary]]:
        return _Measure, (self._vocabulary,)

    def __call__(self, shard: Shard) -> tuple[Counts, NDArray[np.uint32], bool]:
        """The counts, the latents that the agent's units use, and whether all tokens came back unchanged."""
        vocabulary = self._vocabulary
        form = vocabulary.reparameterize(shard.tokens, shard.action, shard.offsets)
        latents = form.units[form.action & (form.units >= vocabulary.base_size)] - vocabulary.base_size
        counts = Counts(
            trajectories=len(shard.tasks),
            base_tokens=int(shard.action.sum()),
            units=int(form.action.sum()),
            context_base_tokens=len(shard.tokens),
            context_units=len(form.units),
            text_level=self._comparison.of(shard),
        )
        lossless = np.array_equal(vocabulary.expand(form.units), shard.tokens)
        return counts, np.unique(latents), lossless
