"""Markdown tables of what `arms` has measured: each figure a mean over seeds with its standard errors."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import sqrt
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from benches.arms.names import BASE, CONTROL, ArmName

Figures = dict[str, Any]
HEADER = (
    "arm",
    "seeds",
    "success",
    "± seeds",
    "± episodes",
    "to control",
    "± paired",
    "units / episode",
    "base tokens / episode",
    "turns",
    "units / base token",
    "held-out reduction",
    "bits / byte",
    "steps",
    "training s",
    "online s",
)


@dataclass(frozen=True)
class Measured:
    """One arm's figures of several seeds, beside its control's of the same seeds where they are there."""

    arm: ArmName
    runs: Sequence[Figures]
    controls: Sequence[Figures]

    def mean(self, figure: Callable[[Figures], float]) -> float:
        """A figure's mean over the seeds."""
        return mean(figure(run) for run in self.runs)

    @property
    def successes(self) -> list[float]:
        """Each seed's share of episodes that were solved, in percent."""
        return [100 * mean(run["solved"]) for run in self.runs]

    @property
    def episode_error(self) -> float:
        """Standard error of the mean success over episodes, the seeds being as they are, in points."""
        spread = [100 * standard_error(run["solved"]) for run in self.runs]
        return sqrt(sum(error**2 for error in spread)) / len(spread)

    @property
    def to_control(self) -> tuple[float, float] | None:
        """Success minus the control's in points, episode by episode, and the standard error of that."""
        if not self.controls or self.arm.text == BASE:
            return None
        pairs = zip(self.runs, self.controls, strict=True)
        differences = [
            [100 * (a - b) for a, b in zip(run["solved"], control["solved"], strict=True)]
            for run, control in pairs
        ]
        errors = [standard_error(of_seed) for of_seed in differences]
        return mean(map(mean, differences)), sqrt(sum(error**2 for error in errors)) / len(errors)

    def cells(self) -> list[str]:
        """The arm's row under `HEADER`."""
        successes = self.successes
        difference = self.to_control
        units, base_tokens = self.mean(lambda run: run["units"]), self.mean(lambda run: run["base_tokens"])
        return [
            self.arm.text,
            str(len(self.runs)),
            f"{mean(successes):.1f}%",
            f"{standard_error(successes):.1f}" if len(successes) > 1 else "",
            f"{self.episode_error:.1f}",
            f"{difference[0]:+.1f}" if difference else "",
            f"{difference[1]:.1f}" if difference else "",
            f"{units:.1f}",
            f"{base_tokens:.1f}",
            f"{self.mean(lambda run: run['turns']):.1f}",
            f"{units / base_tokens:.3f}",
            f"{self.mean(_reduction):.1%}",
            f"{self.mean(lambda run: run['held_out']['bits_per_byte']):.4f}",
            f"{self.mean(lambda run: run['steps']):.0f}",
            f"{self.mean(lambda run: run['seconds']['training']):.0f}",
            f"{self.mean(lambda run: run['seconds']['online']):.0f}",
        ]


def print_tables(folder: Path, arms: Sequence[ArmName], seeds: Sequence[int], control_loss: str) -> None:
    """Print every measured arm of a world's `folder`, then success and bits by loss or start and gate.

    `control_loss`: the control that students are compared with.
    """
    measured = [found for arm in arms if (found := _load(folder, arm, seeds, control_loss))]
    print_rows(HEADER, [found.cells() for found in measured])
    students = [found for found in measured if found.arm.start is not None and not found.arm.more]
    _print_by_gate("success", students, _success)
    _print_by_gate("bits a byte of held-out demonstrations", students, _bits)


def print_rows(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table; the first column is text, the others are numbers."""
    print("| " + " | ".join(header) + " |")
    print("|---|" + "---:|" * (len(header) - 1))
    for row in rows:
        print("| " + " | ".join(row) + " |")


def standard_error(values: Sequence[float]) -> float:
    """Of the values' mean; 0 for a single value."""
    return stdev(values) / sqrt(len(values)) if len(values) > 1 else 0.0


def _load(folder: Path, arm: ArmName, seeds: Sequence[int], control_loss: str) -> Measured | None:
    """The arm's figures of those seeds that have been measured, with the controls if all of them have."""
    runs = [_read(folder, seed, arm.text) for seed in seeds]
    controls = [_read(folder, seed, f"{CONTROL}-{control_loss}") for seed in seeds]
    pairs = [(run, control) for run, control in zip(runs, controls, strict=True) if run]
    if not pairs:
        return None
    beside = [control for _, control in pairs if control]
    return Measured(arm, [run for run, _ in pairs], beside if len(beside) == len(pairs) else [])


def _read(folder: Path, seed: int, arm: str) -> Figures:
    file = folder / f"seed-{seed}" / "arms" / f"{arm}.json"
    found: Figures = json.loads(file.read_text()) if file.exists() else {}
    return found


def _print_by_gate(title: str, students: Sequence[Measured], cell: Callable[[Measured], str]) -> None:
    """Print one row for each loss and start, a column for each gate; what has not been measured is empty."""
    gates = list(dict.fromkeys(str(found.arm.gate) for found in students))
    cells = {(f"{found.arm.loss}, {found.arm.start}", found.arm.gate): cell(found) for found in students}
    names = dict.fromkeys(name for name, _ in cells)
    print(f"\n{title}:\n")
    rows = [[name, *(cells.get((name, gate), "") for gate in gates)] for name in names]
    print_rows(["loss, start", *gates], rows)


def _success(found: Measured) -> str:
    if len(found.runs) == 1:
        return f"{found.successes[0]:.1f} (1 seed)"
    return f"{mean(found.successes):.1f} ± {standard_error(found.successes):.1f}"


def _bits(found: Measured) -> str:
    return f"{found.mean(lambda run: run['held_out']['bits_per_byte']):.4f}"


def _reduction(run: Figures) -> float:
    return 1 - float(run["held_out"]["units"]) / float(run["held_out"]["base_tokens"])
