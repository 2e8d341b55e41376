"""The reduction of a vocabulary: units and base tokens on tasks that were not mined."""

import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property, partial
from itertools import compress, pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lar.corpus import Corpus, Shard
from lar.corpus.backend import Backend, map_shards
from lar.corpus.seen_tasks import check_unseen, digests_of
from lar.corpus.selection import Split
from lar.corpus.turns import read_before, turn_starts
from lar.errors import CorpusError
from lar.evaluation.drift import (
    UnusedLatent,
    counts_prompts,
    mined_reduction,
    occurring_in,
    unused_latents,
)
from lar.evaluation.text_agreement import TextLevel, TextLevelComparison
from lar.mining.one_machine import OneMachine
from lar.utils.arguments import opened
from lar.utils.paths import StrPath
from lar.utils.progress import Progress, silent
from lar.utils.words import percent
from lar.vocabulary.digest import latents_digest
from lar.vocabulary.vocabulary import LatentVocabulary, Reparameterized

logger = logging.getLogger(__name__)

FAR = 0.5  # of the reduction in mining; held-out tasks of the same logs have nearly all of it
OTHER_LOGS = "these logs are of another agent, model or time (lar mine on these logs, or lar mine --update)"
FEW_LOGS = "those are too few to show what recurs (more logs, or fewer latents: lar estimate)"
CALL = "lar.evaluate(corpus, vocabulary)"


@dataclass
class Counts:
    """Sums over conversations.

    turns, base_tokens, units: the agent's. context_base_tokens, context_units: of all speakers. The
    difference is the prompt's: what the agent only reads. text_level: the agreement of the exported
    tokenizer's ids with the core's parse (`lar.evaluation.text_agreement`).
    """

    trajectories: int = 0
    turns: int = 0
    base_tokens: int = 0
    units: int = 0
    context_base_tokens: int = 0
    context_units: int = 0
    text_level: TextLevel = field(default_factory=TextLevel)

    @property
    def reduction(self) -> float:
        """1 - units / base tokens of the agent."""
        return 1 - self.units / self.base_tokens if self.base_tokens else 0.0

    @property
    def prompt_base_tokens(self) -> int:
        """Base tokens that the agent only reads."""
        return self.context_base_tokens - self.base_tokens

    @property
    def prompt_units(self) -> int:
        """Units that the agent only reads."""
        return self.context_units - self.units

    @property
    def prompt_reduction(self) -> float:
        """1 - units / base tokens of what the agent only reads."""
        return 1 - self.prompt_units / self.prompt_base_tokens if self.prompt_base_tokens else 0.0

    @property
    def context_reduction(self) -> float:
        """1 - units / base tokens of whole conversations."""
        return 1 - self.context_units / self.context_base_tokens if self.context_base_tokens else 0.0

    def to_dict(self) -> dict[str, Any]:
        """Sums and reductions as JSON-ready values."""
        return {
            "trajectories": self.trajectories,
            "turns": self.turns,
            "base_tokens": self.base_tokens,
            "units": self.units,
            "reduction": round(self.reduction, 6),
            "prompt_base_tokens": self.prompt_base_tokens,
            "prompt_units": self.prompt_units,
            "prompt_reduction": round(self.prompt_reduction, 6),
            "context_base_tokens": self.context_base_tokens,
            "context_units": self.context_units,
            "context_reduction": round(self.context_reduction, 6),
            "text_level_difference": round(self.text_level.whole.difference, 6),
            "text_level_difference_action": round(self.text_level.action.difference, 6),
        }

    def __iadd__(self, other: "Counts") -> "Counts":
        self.trajectories += other.trajectories
        self.turns += other.turns
        self.base_tokens += other.base_tokens
        self.units += other.units
        self.context_base_tokens += other.context_base_tokens
        self.context_units += other.context_units
        self.text_level += other.text_level
        return self


@dataclass(repr=False)
class Evaluation:
    """The result of `evaluate`.

    tasks: the measured tasks. seen_tasks: number of tasks of the input that were mined; they are left out.
    in_sample: all tasks of the input were mined, so they are measured after all. mined_reduction: the
    reduction in the mined corpus, counted in tokens (see `mined_reduction` of `lar.evaluation.drift`); None
    where the vocabulary has no record of it. unused: the latents that mining used and the measured text does
    not use, the most expensive first; empty if `in_sample`. splits: of each corpus by its name, None without
    one. mined_split: that of the vocabulary, as its record has it. latents_digest: of the latents
    that were measured.
    """

    total: Counts = field(default_factory=Counts)
    per_corpus: dict[str, Counts] = field(default_factory=dict)
    lossless: bool = True
    latents_used: int = 0
    tasks: frozenset[str] = frozenset()
    seen_tasks: int = 0
    in_sample: bool = False
    mined_reduction: float | None = None
    unused: list[UnusedLatent] = field(default_factory=list)
    splits: dict[str, Split | None] = field(default_factory=dict)
    mined_split: dict[str, Any] | None = None
    latents_digest: str | None = None

    def __repr__(self) -> str:
        numbers = f"reduction={self.reduction:.4f}, tasks={len(self.tasks)}"
        return f"Evaluation({numbers}, in_sample={self.in_sample})"

    @property
    def reduction(self) -> float:
        """1 - units / base tokens of the agent, over all corpora: `total.reduction`."""
        return self.total.reduction

    def measures(self, task: str) -> bool:
        """Whether the task is measured."""
        return task in self.tasks

    @property
    def drift(self) -> list[UnusedLatent]:
        """The latents in `unused` that are unused by more than chance."""
        return [one for one in self.unused if one.drifted]

    def to_dict(self) -> dict[str, Any]:
        """The result as JSON-ready values."""
        return {
            **self.total.to_dict(),
            "lossless": self.lossless,
            "latents_used": self.latents_used,
            "latents_digest": self.latents_digest,
            "tasks": len(self.tasks),
            "seen_tasks": self.seen_tasks,
            "in_sample": self.in_sample,
            "mined_reduction": None if self.mined_reduction is None else round(self.mined_reduction, 6),
            "unused": [one.to_dict() for one in self.unused],
            "mined_split": self.mined_split,
            "splits": {name: split and asdict(split) for name, split in self.splits.items()},
            "per_corpus": {name: counts.to_dict() for name, counts in self.per_corpus.items()},
        }


def evaluate(
    corpus: Corpus | StrPath | Mapping[str, Corpus | StrPath],
    vocabulary: LatentVocabulary | StrPath,
    *,
    backend: Backend | None = None,
    progress: Progress = silent,
) -> Evaluation:
    """Count units and base tokens over the tasks of a corpus that the vocabulary has not seen.

    `corpus` is one corpus or its folder, or several by name; `vocabulary` may be a folder, too. Of a whole
    corpus with a split, the held-out side is measured. Of others, the tasks that the vocabulary was mined on
    are left out; if that leaves nothing, they are measured after all, and `in_sample` is set. The shards are
    measured on `backend` (None: this process). Every conversation is expanded again and compared by its
    bytes. Its text is encoded by the exported tokenizer, and the ids are compared with the parse. `unused`
    and `drift` are the latents that the measured text no longer uses.

    Raises:
        CorpusError: a corpus has another tokenizer than the vocabulary or holds out tasks that this was mined
        on, or there is nothing to measure.
        TypeError: an argument is neither object nor path, as where the two change places.

    >>> train, held_out = corpus.split(0.3)
    >>> result = lar.evaluate(held_out, lar.mine(train, size=12))
    >>> result.lossless, 0 < result.total.reduction < 1
    (True, True)
    """
    corpora = corpora_of(corpus, CALL)
    vocabulary = opened(LatentVocabulary, vocabulary, CALL)
    for name, one in corpora.items():
        check_same_tokenizer(one, vocabulary, name)
        check_unseen(one.held_out, vocabulary.mined_tasks, "the vocabulary was mined on")
    of_mined_logs = all(_has_mined_side(one, vocabulary) for one in corpora.values())
    corpora = {name: one.held_out or one for name, one in corpora.items()}
    result = _unmeasured(corpora, vocabulary)
    selections = {name: one.select(result.measures) for name, one in corpora.items()}
    used, used_anywhere, spoken = _measure_all(result, selections, vocabulary, backend, progress)
    if not result.in_sample:
        whole = counts_prompts(vocabulary)
        base_tokens = result.total.context_base_tokens if whole else result.total.base_tokens
        found = used_anywhere if whole else used
        # Without a word of the agent, a task is no evidence of what it no longer says.
        tasks = len(result.tasks if whole else spoken)
        occurring = partial(
            occurring_in, corpora=selections.values(), backend=backend or OneMachine(), prompts=whole
        )
        result.unused = unused_latents(vocabulary, found, base_tokens, tasks, occurring)
    _warn_of(result, of_mined_logs)
    return result


def _unmeasured(corpora: Mapping[str, Corpus], vocabulary: LatentVocabulary) -> Evaluation:
    """What an evaluation states before it has counted: the tasks that it measures, and what was mined."""
    tasks = {task for one in corpora.values() for task in one.tasks}
    seen = {task for task in tasks if vocabulary.has_seen(task)}
    measured = frozenset(tasks - seen or tasks)
    result = Evaluation(tasks=measured, seen_tasks=len(seen), in_sample=bool(tasks) and measured == seen)
    result.latents_digest = latents_digest(latent.tokens for latent in vocabulary.latents)
    result.mined_split = vocabulary.mining.get("split")
    result.mined_reduction = mined_reduction(vocabulary)
    result.splits = {name: one.own_split for name, one in corpora.items()}
    return result


def _measure_all(
    result: Evaluation,
    selections: Mapping[str, Corpus],
    vocabulary: LatentVocabulary,
    backend: Backend | None,
    progress: Progress,
) -> tuple[NDArray[np.bool_], NDArray[np.bool_], set[str]]:
    """Add the counts to `result`.

    Returns which of k latents the agent uses, and which anyone, bool (k) each, and the tasks in which the
    agent writes.
    """
    tokens = sum(one.num_tokens for one in selections.values())
    if tokens == 0:
        raise CorpusError("nothing to evaluate: the corpora have no tokens")
    used, used_anywhere = np.zeros((2, vocabulary.size), dtype=np.bool_)
    spoken = set[str]()
    measure = _Measure(vocabulary)
    for name, one in selections.items():
        result.per_corpus[name] = Counts()
        for counts, latents, of_agent, tasks, lossless in map_shards(measure, one, backend):
            spoken |= tasks
            used[latents[of_agent]] = True
            used_anywhere[latents] = True
            result.per_corpus[name] += counts
            result.total += counts
            result.lossless &= lossless
            progress(result.total.context_base_tokens, tokens)
    progress(tokens, tokens)  # with what rows of one run have in common
    result.latents_used = int(used.sum())
    return used, used_anywhere, spoken


def _has_mined_side(corpus: Corpus, vocabulary: LatentVocabulary) -> bool:
    """Whether the vocabulary was mined on the training side of this very corpus."""
    return corpus.held_out is not None and digests_of(corpus.training) <= vocabulary.mined_tasks


def _warn_of(result: Evaluation, of_mined_logs: bool) -> None:
    """Log why the figures may not be what they seem to be: tasks that were mined, or logs of another kind.

    `of_mined_logs`: the measured tasks were held out of the logs that were mined, so these are of one kind.
    """
    own, found = result.mined_reduction, result.total.reduction
    if not result.total.base_tokens:
        logger.warning("the measured tasks hold no text of an agent")
    elif result.in_sample:
        logger.warning("every task was seen in mining: the figures do not hold for new ones (hold tasks out)")
    elif own is not None and found < FAR * own:
        cause = OTHER_LOGS if result.drift or not of_mined_logs else FEW_LOGS
        logger.warning(
            "the reduction is %s, far below the %s of the tasks that were mined, in tokens: %s",
            *(percent(found), percent(own), cause),
        )


def corpora_of(given: Corpus | StrPath | Mapping[str, Corpus | StrPath], call: str) -> dict[str, Corpus]:
    """Corpora by name, a single one by that of its folder; TypeError for what is no corpus and no path."""
    if isinstance(given, Mapping):
        return {name: opened(Corpus, one, call) for name, one in given.items()}
    corpus = opened(Corpus, given, call)
    return {corpus.path.name: corpus}


def check_same_tokenizer(corpus: Corpus, vocabulary: LatentVocabulary, name: str) -> None:
    """Raise CorpusError unless vocabulary and corpus have the same tokenizer."""
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

    def __call__(self, shard: Shard) -> tuple[Counts, NDArray[np.uint32], NDArray[np.bool_], set[str], bool]:
        """Measure a shard.

        Returns the counts, the n latents used, whether by the agent (bool (n)), the tasks in which it writes,
        and if all text came back.
        """
        vocabulary = self._vocabulary
        form = vocabulary.reparameterize(shard.tokens, shard.action, shard.offsets)
        latents = np.unique(form.units[form.units >= vocabulary.base_size])
        of_agent = np.isin(latents, form.units[form.action])
        ends = np.searchsorted(form.starts, shard.offsets)
        again = read_before(shard.tokens, shard.offsets, shard.continues).sum()
        again_units = read_before(form.units, ends, shard.continues).sum()
        counts = Counts(
            trajectories=shard.num_runs,
            turns=len(turn_starts(shard.action, shard.offsets)),
            base_tokens=int(shard.action.sum()),
            units=int(form.action.sum()),
            context_base_tokens=len(shard.tokens) - int(again),
            context_units=len(form.units) - int(again_units),
            text_level=self._comparison.of(shard, form),
        )
        spoken = set(compress(shard.tasks, np.diff(shard.action_offsets).tolist()))
        lossless = _is_lossless(vocabulary, shard, form)
        return counts, latents - vocabulary.base_size, of_agent, spoken, lossless


def _is_lossless(vocabulary: LatentVocabulary, shard: Shard, form: Reparameterized) -> bool:
    """Whether the units of each conversation expand to its bytes.

    Not to its tokens: a latent may end inside one, and the text after it is then tokenized in another way.
    """
    text = vocabulary.tokenizer.bytes_of
    bounds = np.searchsorted(form.starts[:-1], shard.offsets)
    return all(
        text(vocabulary.expand(form.units[first:last])) == text(shard.tokens[start:end])
        for (first, last), (start, end) in zip(pairwise(bounds), pairwise(shard.offsets), strict=True)
    )
