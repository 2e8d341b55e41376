"""A Markdown table of the measured arms: each figure is a mean over seeds."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import sqrt
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from benches.arms.names import CONTROL, ArmName

Figures = dict[str, Any]
HEADER = (
    "arm",
    "seeds",
    "success by seed",
    "success",
    "± seeds",
    "against the control",
    "units / episode",
    "units / base token",
    "held-out reduction",
)


@dataclass(frozen=True)
class Measured:
    """One arm's figures of several seeds."""

    arm: ArmName
    runs: Sequence[Figures]

    def mean(self, figure: Callable[[Figures], float]) -> float:
        """A figure's mean over the seeds."""
        return mean(figure(run) for run in self.runs)

    @property
    def successes(self) -> list[float]:
        """Each seed's share of solved episodes, in percent."""
        return [100 * mean(run["solved"]) for run in self.runs]

    def against(self, control: Sequence[Figures]) -> list[float]:
        """The successes less the control's of the same seed, in points; of the seeds that both have."""
        solved = {run["seed"]: mean(run["solved"]) for run in control}
        return [100 * (mean(r["solved"]) - solved[r["seed"]]) for r in self.runs if r["seed"] in solved]

    def cells(self, control: Sequence[Figures]) -> list[str]:
        """The arm's row under `HEADER`; `control`: the control's figures of several seeds."""
        successes = self.successes
        units, base_tokens = self.mean(lambda run: run["units"]), self.mean(lambda run: run["base_tokens"])
        return [
            self.arm.text,
            str(len(self.runs)),
            ", ".join(f"{success:g}" for success in successes),
            f"{mean(successes):.1f}%",
            f"{standard_error(successes):.1f}" if len(successes) > 1 else "",
            "" if self.arm.text == CONTROL else difference(self.against(control)),
            f"{units:.1f}",
            f"{units / base_tokens:.3f}",
            f"{self.mean(_reduction):.1%}",
        ]


def print_table(folder: Path, arms: Sequence[ArmName], seeds: Sequence[int]) -> None:
    """Print a row for each of `arms` that has figures in a world's `folder`.

    The difference from the control is a mean over pairs: arms of a seed have one base model and its tasks.
    """
    control = _runs(folder, CONTROL, seeds)
    print("| " + " | ".join(HEADER) + " |")
    print("|---|" + "---:|" * (len(HEADER) - 1))
    for arm in arms:
        if runs := _runs(folder, arm.text, seeds):
            print("| " + " | ".join(Measured(arm, runs).cells(control)) + " |")


def standard_error(values: Sequence[float]) -> float:
    """Standard error of the values' mean; 0 for a single value."""
    return stdev(values) / sqrt(len(values)) if len(values) > 1 else 0.0


def difference(pairs: Sequence[float]) -> str:
    """The mean of paired differences, with its standard error where there are several; empty without any."""
    if not pairs:
        return ""
    return f"{mean(pairs):+.1f}" + (f" ± {standard_error(pairs):.1f}" if len(pairs) > 1 else "")


def _runs(folder: Path, arm: str, seeds: Sequence[int]) -> list[Figures]:
    return [run for seed in seeds if (run := _read(folder, seed, arm))]


def _read(folder: Path, seed: int, arm: str) -> Figures:
    file = folder / f"seed-{seed}" / "arms" / f"{arm}.json"
    found: Figures = json.loads(file.read_text()) if file.exists() else {}
    return found


def _reduction(run: Figures) -> float:
    return 1 - float(run["held_out"]["units"]) / float(run["held_out"]["base_tokens"])
