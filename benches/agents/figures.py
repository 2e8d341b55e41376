"""What the episodes of an arm add up to, and how it compares with its control on the same tasks."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import mean, median, stdev

from benches.agents.episodes import Result


@dataclass(frozen=True)
class Estimate:
    """A mean over tasks and its standard error; the error of a single task is unknown (None)."""

    mean: float
    error: float | None

    @classmethod
    def of(cls, values: Sequence[float]) -> "Estimate":
        """The mean of `values`, and their standard deviation over the root of their number."""
        error = stdev(values) / sqrt(len(values)) if len(values) > 1 else None
        return cls(mean(values), error)


@dataclass(frozen=True)
class Figures:
    """The figures of an arm: means over its tasks, but for one median.

    units: generated; median_units: of the episode in the middle, which loops do not move. read: units of
    prompts, each once. sent: units of prompts as an API bills them, for each turn all that is before it.
    base_tokens: the generated units in base tokens. cut_off: share of episodes that used up their turns.
    extra: the world's own figures.
    """

    success: Estimate
    units: float
    median_units: float
    base_tokens: float
    read: float
    sent: float
    turns: float
    seconds: float
    passes: float | None
    cut_off: float
    extra: dict[str, float]

    @classmethod
    def of(cls, results: Sequence[Result]) -> "Figures":
        """The figures of one or more results."""
        passes = [result.passes for result in results if result.passes is not None]
        names = sorted({name for result in results for name in result.figures})
        return cls(
            success=Estimate.of([float(result.success) for result in results]),
            units=mean(result.units for result in results),
            median_units=median(result.units for result in results),
            base_tokens=mean(result.base_tokens for result in results),
            read=mean(result.read for result in results),
            sent=mean(result.sent for result in results),
            turns=mean(result.turns for result in results),
            seconds=mean(result.seconds for result in results),
            passes=mean(passes) if passes else None,
            cut_off=mean(result.cut_off for result in results),
            extra={name: mean(result.figures.get(name, 0.0) for result in results) for name in names},
        )


@dataclass(frozen=True)
class Compared:
    """An arm beside its control, on the tasks of both.

    success: the mean of the differences by task. units, total, seconds: the arm's over the control's, less
    one; `total` is of units sent and generated.
    """

    tasks: int
    success: Estimate
    units: float
    total: float
    seconds: float

    @classmethod
    def of(cls, results: Sequence[Result], control: Sequence[Result]) -> "Compared":
        """Pair the results by task.

        Raises:
            ValueError: the two have no task in common.
        """
        known = {result.task: result for result in control}
        pairs = [(result, known[result.task]) for result in results if result.task in known]
        if not pairs:
            raise ValueError("the arm and its control have no task in common")

        def change(name: str) -> float:
            own, other = (sum(getattr(pair[side], name) for pair in pairs) for side in (0, 1))
            return float(own / other - 1)

        def total(side: int) -> int:
            return sum(pair[side].sent + pair[side].units for pair in pairs)

        return cls(
            tasks=len(pairs),
            success=Estimate.of([float(own.success) - float(other.success) for own, other in pairs]),
            units=change("units"),
            total=total(0) / total(1) - 1,
            seconds=change("seconds"),
        )


def percent(estimate: Estimate) -> str:
    """An estimate of a share in percent, with its error."""
    error = "" if estimate.error is None else f" ± {100 * estimate.error:.1f}"
    return f"{100 * estimate.mean:.1f}{error}"
