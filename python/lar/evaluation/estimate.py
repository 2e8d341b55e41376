"""What latents would save on an agent's logs, before anything is trained: over sizes, gates and splits."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Unpack

from lar.corpus import Corpus
from lar.corpus.selection import OnSide
from lar.errors import CorpusError, OptionError
from lar.evaluation.usage import Usage, usage
from lar.mining.mine import mine_each
from lar.mining.options import MiningKeywords
from lar.utils.paths import StrPath
from lar.utils.progress import Progress, silent

SIZES = (64, 128, 256, 512, 1024)
HELD_OUT = 0.2
# A size is enough when it saves this share of what the largest one saves.
ENOUGH = 0.9


@dataclass(frozen=True, slots=True)
class Point:
    """One size and entropy gate: the usage on the held-out tasks of each split."""

    size: int
    gate: float | str | None
    splits: tuple[Usage, ...]

    @property
    def reductions(self) -> tuple[float, ...]:
        """The action-token reduction of each split."""
        return tuple(split.reduction for split in self.splits)

    @property
    def reduction(self) -> float:
        """The median over the splits."""
        return statistics.median(self.reductions)

    @property
    def prompt_reduction(self) -> float:
        """The median reduction of what the agent reads."""
        return statistics.median(split.prompt_reduction for split in self.splits)

    @property
    def usage(self) -> Usage:
        """The usage of all splits together."""
        return sum(self.splits, Usage())

    def to_dict(self) -> dict[str, Any]:
        """The point as JSON-ready values; tokens are those of a run, on average."""
        found = self.usage
        of_run = {
            f"{kind}_{name}": round(getattr(getattr(found, kind), name) / found.runs, 1)
            for kind in ("base", "units")
            for name in ("generated", "prompt", "sent")
        }
        return {
            "size": self.size,
            "gate": self.gate,
            "reduction": round(self.reduction, 4),
            "reductions": [round(value, 4) for value in self.reductions],
            "prompt_reduction": round(self.prompt_reduction, 4),
            "turns": round(found.turns / found.runs, 1),
            **of_run,
        }


@dataclass(frozen=True, slots=True)
class Estimate:
    """The result of `estimate`: a point for each size and gate, and how much of the corpus was measured."""

    points: tuple[Point, ...]
    runs: int
    tasks: int
    tokens: int
    tokens_in_all: int
    teacher: str | None

    @property
    def recommended(self) -> Point:
        """The smallest size that saves `ENOUGH` of what the largest saves, with the first gate."""
        gate = self.points[0].gate
        curve = [point for point in self.points if point.gate == gate]
        most = max(point.reduction for point in curve)
        return next(point for point in curve if point.reduction >= ENOUGH * most)

    def to_dict(self) -> dict[str, Any]:
        """The result as JSON-ready values."""
        return {
            "runs": self.runs,
            "tasks": self.tasks,
            "tokens": self.tokens,
            "tokens_in_all": self.tokens_in_all,
            "teacher": self.teacher,
            "points": [point.to_dict() for point in self.points],
            "recommended": {"size": self.recommended.size, "gate": self.recommended.gate},
        }


def estimate(
    corpus: Corpus | StrPath,
    *,
    sizes: Sequence[int] = SIZES,
    entropy_gates: Sequence[float | str | None] = (None,),
    splits: int = 5,
    most_tokens: int = 1_000_000,
    progress: Progress = silent,
    **options: Unpack[MiningKeywords],
) -> Estimate:
    """Mine vocabularies of several sizes and gates on four fifths of the tasks, and measure the others.

    This is done for `splits` different splits; their spread shows how far to trust a figure. No model is
    needed. A corpus of more than `most_tokens` tokens is sampled by whole tasks; more logs usually save
    more, so a sample's figures are on the careful side.

    Args:
        corpus: the logs, or their corpus folder. Of a corpus with a split only the training side is used.
        sizes: numbers of latents, in any order.
        entropy_gates: see `MiningOptions.max_entropy`; the first one is that of the recommendation.
        splits: the number of splits, at least one.
        most_tokens: the most tokens that are mined, prompts included.
        progress: counts minings.
        options: the other options of `mine`; `max_entropy` is not used.

    Raises:
        OptionError: there are no sizes or splits, or an option is out of its range.
        CorpusError: the corpus has fewer than five tasks, or no text of an agent.

    >>> found = lar.estimate(corpus, sizes=[4, 8], splits=2)
    >>> [point.size for point in found.points], found.points[1].reduction > found.points[0].reduction
    ([4, 8], True)
    """
    if not sizes or splits < 1 or not entropy_gates:
        raise OptionError("an estimate needs at least one size, one gate and one split")
    corpus = (corpus if isinstance(corpus, Corpus) else Corpus.load(corpus)).training
    sample = sampled(corpus, most_tokens)
    if len(sample.tasks) < 1 / HELD_OUT:
        raise CorpusError(
            f"{len(sample.tasks)} tasks are too few to hold some out: an estimate needs at least 5. If the "
            "logs have more, name their field with --task-key"
        )
    ordered, total = sorted(set(sizes)), len(entropy_gates) * splits * len(set(sizes))
    found: dict[tuple[float | str | None, int], list[Usage]] = {}
    done = 0
    for gate in entropy_gates:
        options["max_entropy"] = gate
        for train, held in _splits(sample, splits):
            vocabularies = mine_each(train, ordered, **options)
            for size, vocabulary in zip(ordered, vocabularies, strict=True):
                found.setdefault((gate, size), []).append(usage(held, vocabulary))
                done += 1
                progress(done, total)
    return Estimate(
        tuple(Point(size, gate, tuple(found[gate, size])) for gate in entropy_gates for size in ordered),
        runs=sample.num_trajectories,
        tasks=len(sample.tasks),
        tokens=sample.num_tokens,
        tokens_in_all=corpus.num_tokens,
        teacher=None if corpus.teacher is None else corpus.teacher.name,
    )


def sampled(corpus: Corpus, most_tokens: int) -> Corpus:
    """The corpus, or about `most_tokens` of it: a share of its tasks."""
    if corpus.num_tokens <= most_tokens:
        return corpus
    return corpus.select(OnSide(most_tokens / corpus.num_tokens, seed=-1, is_held_out=True))


def _splits(corpus: Corpus, number: int) -> list[tuple[Corpus, Corpus]]:
    """The first `number` splits with tasks on both sides."""
    found: list[tuple[Corpus, Corpus]] = []
    for seed in range(10 * number):
        try:
            found.append(corpus.split(HELD_OUT, seed))
        except CorpusError:
            continue  # all tasks on one side: possible with few tasks
        if len(found) == number:
            return found
    raise CorpusError(f"{len(corpus.tasks)} tasks are too few for {number} splits")
