"""What latents would save on an agent's logs, before anything is trained: over sizes, gates and splits."""

import logging
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from operator import attrgetter
from typing import Any, Unpack

from lar.corpus import Corpus
from lar.corpus.dominant_task import dominant_task
from lar.corpus.selection import HOLD_OUT, Among, OnSide, place_of
from lar.errors import CorpusError, OptionError
from lar.evaluation.minings import Job, Minings, without_warnings
from lar.evaluation.recommendation import in_words
from lar.evaluation.sample import Sample
from lar.evaluation.usage import Tokens, Usage, base_usage
from lar.mining.entropy_gate import USUAL_GATE, EntropyGate, parse_gate
from lar.mining.options import SIZES, MiningKeywords, MiningOptions
from lar.trajectories.tasks import one_task
from lar.utils.arguments import opened
from lar.utils.keywords import merge_options
from lar.utils.paths import StrPath
from lar.utils.pool import cores
from lar.utils.progress import Progress, silent
from lar.vocabulary.learnable import are_learnable, learnable_share
from lar.vocabulary.size_rule import largest_fitting
from lar.vocabulary.turn_lengths import TurnLength

logger = logging.getLogger(__name__)

CALL = "lar.estimate(corpus)"
# A smaller size is named beside the recommended one when it saves this share of what that one saves.
ENOUGH = 0.9
# Parts of the tasks, of which a split holds one out.
FOLDS = round(1 / HOLD_OUT)
# Splits on which that gate and half as many tasks are tried, beside the full mining of the same splits.
PROBED = 2
_HALF_SEED = -2  # another one than those of splits and samples


@dataclass(frozen=True, slots=True)
class Point:
    """One size and entropy gate: the usage on the held-out tasks of each split.

    learnable: the share of the latents with `LEARNABLE` uses or more in all logs (see `learnable_share`),
    where all tasks of the sample are mined. base: the usage of all logs without latents, by the sample (see
    `Sample.of_all`).
    latents: how many were found, the mean over the splits. turn: the length of a turn on the tasks of the
    sample, where all of them are mined.
    """

    size: int
    gate: float | str | None
    splits: tuple[Usage, ...]
    learnable: float
    base: Usage
    latents: float
    turn: TurnLength

    @property
    def reductions(self) -> tuple[float, ...]:
        """The action-token reduction of each split in whose held-out tasks the agent writes; at least one."""
        spoken = [split.reduction for split in self.splits if split.base.generated]
        return tuple(spoken or [0.0])

    @property
    def measured(self) -> Usage:
        """The usage of all splits together: of each task once, where they are `FOLDS`, or a multiple."""
        return sum(self.splits, Usage())

    @property
    def reduction(self) -> float:
        """That of what the agent writes in all splits together.

        So a task counts by its tokens: a mean or a median over the splits would count a long run's less.
        """
        return self.measured.reduction

    @property
    def prompt_reduction(self) -> float:
        """The same of what the agent reads."""
        return self.measured.prompt_reduction

    @property
    def usage(self) -> Usage:
        """The usage of all logs, each run once: their base tokens, less the reductions that were measured."""
        tokens, measured = asdict(self.base.base), self.measured
        units = {name: round(count * (1 - measured.reduction_of(name))) for name, count in tokens.items()}
        return replace(self.base, units=Tokens(**units))

    def to_dict(self) -> dict[str, Any]:
        """The point as JSON-ready values; tokens are those of a run, on average."""
        found = self.usage
        of_run = {
            f"{kind}_{name}": round(getattr(getattr(found, kind), name) / found.runs, 1)
            for kind in ("base", "units")
            for name in ("generated", "prompt", "new", "cached", "sent")
        }
        return {
            "size": self.size,
            "latents": round(self.latents, 1),
            "gate": self.gate,
            "reduction": round(self.reduction, 4),
            "reductions": [round(value, 4) for value in self.reductions],
            "prompt_reduction": round(self.prompt_reduction, 4),
            "learnable": round(self.learnable, 4),
            "turns": round(found.turns / found.runs, 1),
            "turn_units": round(self.turn.mean_units, 1),
            **of_run,
        }


@dataclass(frozen=True, slots=True)
class Probe:
    """The recommended size, mined in another way, beside the same splits of the curve."""

    gate: float | str | None
    splits: tuple[Usage, ...]
    beside: tuple[Usage, ...]

    @property
    def reduction(self) -> float:
        """That of what the agent writes in all of these splits together."""
        return sum(self.splits, Usage()).reduction

    @property
    def difference(self) -> float:
        """What the reduction is more than that of the curve, on the same splits."""
        return self.reduction - sum(self.beside, Usage()).reduction

    def to_dict(self) -> dict[str, Any]:
        """The probe as JSON-ready values."""
        return {
            "gate": self.gate,
            "splits": len(self.splits),
            "reduction": round(self.reduction, 4),
            "difference": round(self.difference, 4),
        }


@dataclass(frozen=True, slots=True)
class Estimate:
    """The result of `estimate`: a point for each size and gate, and how much of the logs was measured.

    runs, tasks, tokens: what was measured. whole: what it is a sample of. teacher: whose entropies the gates
    are of; None: the n-gram entropy of the logs stands in for them. prompt_weight: of the mining. half: the
    recommended size, mined on half as many tasks. gated: the same behind `USUAL_GATE`. Both are None where
    they were not tried.
    """

    points: tuple[Point, ...]
    runs: int
    tasks: int
    tokens: int
    whole: Sample
    teacher: str | None
    prompt_weight: float = 0.0
    half: Probe | None = None
    gated: Probe | None = None

    def __repr__(self) -> str:
        best = self.recommended
        numbers = f"recommended={best.size}, reduction={best.reduction:.4f}, runs={self.runs}"
        return f"Estimate({numbers}, tasks={self.tasks}, points={len(self.points)})"

    @property
    def recommended(self) -> Point:
        """The size that `lar.mine` takes of these, with the first gate: see `largest_fitting`.

        The smallest where none fits; the largest with a prompt weight.
        """
        return self._fitting[0]

    @property
    def is_limited_by_turns(self) -> bool:
        """Whether the next larger size could be learnt, but would leave a turn too few units."""
        larger = self._fitting[1]
        return larger is not None and are_learnable(larger.learnable)

    @property
    def knee(self) -> Point:
        """The smallest size that saves `ENOUGH` of what the recommended one saves, with the same gate.

        The recommended one where it saves nothing: then every size that saves nothing would be enough.
        """
        best = self.recommended
        if best.reduction <= 0:
            return best
        smaller = (point for point in self._curve if point.size <= best.size)
        return next(point for point in smaller if point.reduction >= ENOUGH * best.reduction)

    @property
    def _fitting(self) -> tuple[Point, Point | None]:
        """The recommended size, and the next larger one where that does not fit."""
        if self.prompt_weight:
            return self._curve[-1], None
        return largest_fitting(reversed(self._curve), attrgetter("learnable", "turn"))

    @property
    def _curve(self) -> list[Point]:
        """The points of the first gate, by ascending size."""
        return [point for point in self.points if point.gate == self.points[0].gate]

    @property
    def tokens_in_all(self) -> int:
        """The tokens of all logs, by the sample where they were not counted."""
        return self.whole.tokens

    @property
    def unwritten(self) -> float:
        """The share of the agent's characters that the chat template leaves out: they are in no figure.

        It is that of the whole corpus of which the sample is a part.
        """
        return self.whole.corpus.manifest.unwritten.share

    @property
    def scored_tasks(self) -> int:
        """How many of the measured tasks `teacher` has scored."""
        return len(self.whole.corpus.scored.tasks)

    @property
    def is_sample(self) -> bool:
        """Whether some tasks were not measured."""
        return self.tasks < self.whole.tasks

    def to_dict(self) -> dict[str, Any]:
        """The result as JSON-ready values."""
        return {
            "runs": self.runs,
            "tasks": self.tasks,
            "tokens": self.tokens,
            "rows": len(self.whole.corpus),
            "runs_in_all": self.whole.runs,
            "tasks_in_all": self.whole.tasks,
            "tokens_in_all": self.tokens_in_all,
            "tokens_in_all_error": round(self.whole.error, 4),
            "held_out_tasks": self.whole.held_out,
            "unwritten": round(self.unwritten, 4),
            "teacher": self.teacher,
            "scored_tasks": None if self.teacher is None else self.scored_tasks,
            "points": [point.to_dict() for point in self.points],
            "recommended": {"size": self.recommended.size, "gate": self.recommended.gate},
            "words": in_words(self),
            "knee": self.knee.size,
            "half": None if self.half is None else self.half.to_dict(),
            "gated": None if self.gated is None else self.gated.to_dict(),
        }


def estimate(
    corpus: Corpus | StrPath | Sample,
    *,
    sizes: Sequence[int] = SIZES,
    entropy_gates: Sequence[float | str | None] = (None,),
    splits: int = 5,
    most_tokens: int = 1_000_000,
    probes: bool = True,
    workers: int | None = None,
    progress: Progress = silent,
    **options: Unpack[MiningKeywords],
) -> Estimate:
    """Mine vocabularies of several sizes and gates on four fifths of the tasks, and measure the others.

    This is done for `splits` different splits; their spread shows how far to trust a figure. With five, each
    task is measured once. All tasks are mined once more to count the latents' uses: so of logs that are no
    sample, the recommended size is the one that `lar.mine` takes of `sizes`. No model is needed. A corpus of
    more than `most_tokens` tokens is sampled by whole tasks; more logs usually save more, so a sample's
    percentages are on the careful side. Its shares of learnable latents are not: these are chosen by the
    uses that are scaled to all logs.
    The tokens of a run are those of all logs: what a sample has of each kind, times the tokens of all logs by
    those of the sample, over all runs. So a few long runs that the sample has or lacks do not move them.

    Args:
        corpus: the logs as a corpus, or its folder; of one with a split only the training side is used. Or a
            sample that was taken before: `Sample.of_logs` takes one of logs that are no corpus yet.
        sizes: numbers of latents, in any order.
        entropy_gates: see `MiningOptions.max_entropy`; the first one is that of the recommendation, and equal
            ones are mined once.
        splits: the number of splits, at least one. The tasks are divided into `FOLDS` parts, of which each
            split holds one out; a sixth split begins with another division.
        most_tokens: the most tokens of a sample that is taken here, prompts included; but it has at least
            `FEWEST` tasks.
        probes: whether to mine the recommended size twice more, on `PROBED` of the splits: on half
            as many tasks, and behind `USUAL_GATE` where there is no other gate.
        workers: splits that are mined at a time, in threads; None for one a core. The result is the same.
        progress: counts minings; called by those threads, one at a time.
        options: the other options of `mine`.

    Raises:
        OptionError: there are no sizes, splits, gates or workers, an option is out of its range, or `size` or
            `max_entropy` is given.
        CorpusError: the corpus has fewer than five tasks, or no text of an agent.
        TypeError: `corpus` is neither an object nor a path, as where trajectories are given.

    >>> found = lar.estimate(corpus, sizes=[4, 8], splits=2)
    >>> [point.size for point in found.points], found.points[1].reduction > found.points[0].reduction
    ([4, 8], True)
    """
    workers = cores() if workers is None else workers
    if not sizes or splits < 1 or not entropy_gates or workers < 1:
        raise OptionError("an estimate needs at least one size, one gate, one split and one worker")
    _check_options(sizes, options)
    whole = corpus if isinstance(corpus, Sample) else Sample.of(opened(Corpus, corpus, CALL), most_tokens)
    sample, ordered = whole.corpus, tuple(sorted(set(sizes)))
    gates = _distinct(entropy_gates, sample.tokenizer.base_size)
    pairs = _splits(sample, splits)
    for warning in filter(None, (one_task(sample.task_counts()), dominant_task(sample))):
        logger.warning("%s", warning)
    probed = probes * min(PROBED, splits)
    probes_of_split = 1 if any(gate is not None for gate in gates) else 2  # see `_probed`
    total = len(gates) * (splits + 1) * len(ordered) + probes_of_split * probed
    with Minings(options, workers, progress, total) as minings, without_warnings():
        _ = sample.tokenizer  # read before the threads, of which each would read it
        found = Estimate(
            _curve(whole, pairs, ordered, gates, minings),
            runs=sample.num_trajectories,
            tasks=len(sample.tasks),
            tokens=sample.num_tokens,
            whole=whole,
            teacher=None if sample.teacher is None else sample.teacher.name,
            prompt_weight=options.get("prompt_weight", MiningOptions.prompt_weight),
        )
        return _probed(found, pairs[:probed], minings) if probed else found


def _check_options(sizes: Sequence[int], options: MiningKeywords) -> None:
    """Raise OptionError for an option that `mine` would refuse, before the logs are read."""
    for name, plural in (("size", "sizes"), ("max_entropy", "entropy_gates")):
        if name in options:
            raise OptionError(f"an estimate takes {plural}, a list, in place of {name}")
    if not isinstance(options.get("gates", ""), str):
        raise OptionError("gates takes engine gates as one string; gates by entropy are entropy_gates")
    for size in sizes:
        merge_options(MiningOptions, None, {**options, "size": size})


def _distinct(gates: Sequence[float | str | None], ids: int) -> list[float | str | None]:
    """The gates in their order, each once: "p60" and "p60.0" are one, and so are 0.25 and "0.25"."""
    found: dict[EntropyGate | None, float | str | None] = {}
    for gate in gates:
        found.setdefault(parse_gate(gate, ids), gate)
    return list(found.values())


def _curve(
    whole: Sample,
    pairs: Sequence[tuple[Corpus, Corpus]],
    sizes: Sequence[int],
    gates: Sequence[float | str | None],
    minings: Minings,
) -> tuple[Point, ...]:
    """A point for each gate and each of the ascending sizes, mined on the first of each pair.

    The latents' uses are not counted there: four fifths of the tasks give other latents, and usually fewer
    than four fifths of the uses.
    """
    measured = base_usage(whole.corpus)
    base = whole.of_all(measured)
    points: list[Point] = []
    for gate in gates:
        every, *rows = minings.run([(*pair, sizes, gate) for pair in ((whole.corpus, None), *pairs)])
        for size, of_all, *column in zip(sizes, every, *rows, strict=True):
            share = learnable_share(of_all.latents, whole.scale)
            found = statistics.fmean(len(one.latents) for one in column)
            saved = sum(latent.saving for latent in of_all.latents)
            written = measured.base.generated
            turn = TurnLength(written, written - saved, measured.turns)
            points.append(Point(size, gate, tuple(one.usage for one in column), share, base, found, turn))
    return tuple(points)


def _probed(found: Estimate, pairs: Sequence[tuple[Corpus, Corpus]], minings: Minings) -> Estimate:
    """The estimate with its probes, on its first splits."""
    best, half = found.recommended, OnSide(0.5, _HALF_SEED, is_held_out=True)
    halves = [(train.select(half), held) for train, held in pairs]
    is_gated = any(point.gate is not None for point in found.points)
    return replace(
        found,
        half=_probe(best, best.gate, halves, minings),
        gated=None if is_gated else _probe(best, USUAL_GATE, pairs, minings),
    )


def _probe(
    point: Point, gate: float | str | None, pairs: Sequence[tuple[Corpus, Corpus]], minings: Minings
) -> Probe | None:
    """The size of a point, mined on other pairs or with another gate; None where that leaves too little."""
    jobs: list[Job] = [(*pair, (point.size,), gate) for pair in pairs]
    try:
        usages = tuple(mined.usage for [mined] in minings.run(jobs))
    except CorpusError:
        return None
    return Probe(gate, usages, point.splits[: len(pairs)])


def _splits(corpus: Corpus, number: int) -> list[tuple[Corpus, Corpus]]:
    """The first `number` splits, as pairs of training and held-out tasks.

    Raises:
        CorpusError: there are fewer than `FOLDS` tasks.
    """
    tasks = len(corpus.tasks)
    if tasks < FOLDS:
        number_of = f"{tasks} task is" if tasks == 1 else f"{tasks} tasks are"
        raise CorpusError(
            f"{number_of} too few to hold some out: an estimate needs at least {FOLDS}. If the logs have"
            " more, name their field with --task-key"
        )
    found: list[tuple[Corpus, Corpus]] = []
    for split in range(number):
        seed, fold = divmod(split, FOLDS)
        ordered = sorted((place_of(task, seed), task) for task in corpus.tasks)
        held_out = frozenset(task for _, task in ordered[fold::FOLDS])
        train, held = (corpus.select(Among(held_out, is_among=side)) for side in (False, True))
        found.append((train, held))
    return found
