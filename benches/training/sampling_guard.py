"""What the sampling guard changes: the demo's student at work with and without it, greedy and sampled.

    lar demo -o demo
    python -m benches.training.sampling_guard --demo demo/ -o sampling_guard.json

Each line is the mean over the sampling seeds, one of them where the temperature is 0. "not canonical": the
share of the turns that are not the canonical parse of their text. "wasted": units that such turns have more
than their parse, for each ticket. "at once": seconds a unit with all tickets stepped together.
"""

import argparse
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import torch

import lar
from lar.demo.online import GREEDY, Arm, run_online
from lar.demo.session import TicketSession
from lar.demo.tasks import Task, held_out_tasks, training_tasks
from lar.distillation import Student
from lar.evaluation.canonicity import training_canonicity
from lar.generation.sampling import Sampling
from lar.models.causal_lm import load_model

TEMPERATURES = [0.0, 0.7, 1.0]
COLUMNS = "temperature  guard  not canonical  wasted  success           units  base tokens  us / unit"


@dataclass(frozen=True)
class Line:
    """One temperature, guarded or not: what each sampling seed gave."""

    temperature: float
    guarded: bool
    arms: list[dict[str, Any]]

    def mean(self, name: str) -> float:
        """Mean over the seeds."""
        return mean(arm[name] for arm in self.arms)

    def spread(self, name: str) -> float:
        """Standard error over the seeds, 0 for one."""
        values = [arm[name] for arm in self.arms]
        return stdev(values) / len(values) ** 0.5 if len(values) > 1 else 0.0

    def __str__(self) -> str:
        success = f"{self.mean('success'):.3f} +- {self.spread('success'):.3f}"
        guard = "on" if self.guarded else "off"
        return (
            f"{self.temperature:11.1f}  {guard:>5}  {self.mean('turn_share'):13.2%}  "
            f"{self.mean('wasted'):6.3f}  {success:>14}  {self.mean('units'):9.2f}  "
            f"{self.mean('base_tokens'):11.2f}  {self.mean('seconds_a_unit') * 1e6:9.1f}"
        )


def main() -> None:
    """Run every temperature with and without the guard, print the table, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--demo", type=Path, required=True, help="a folder that `lar demo` has written")
    parser.add_argument("--tasks", type=int, default=100, help="held-out tickets")
    parser.add_argument("--seeds", type=int, default=3, help="sampling seeds of each temperature above 0")
    parser.add_argument("--temperatures", type=float, nargs="+", default=TEMPERATURES)
    parser.add_argument("--threads", type=int, default=1, help="of torch")
    parser.add_argument("-o", "--output", type=Path, required=True)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    student = Student.load(options.demo / "student", load_model(options.demo / "model", device="cpu"))
    tasks = demo_tasks(options.demo, options.tasks)
    print(
        f"training: {training_share(options.demo, student.vocabulary):.2%} of the agent's turns not canonical"
    )
    print(COLUMNS)
    lines = []
    for temperature in options.temperatures:
        for guarded in (False, True):
            lines.append(measure(student, tasks, temperature, options.seeds, guarded=guarded))
            print(lines[-1], flush=True)
    record = {"options": vars(options), "lines": [asdict(line) for line in lines]}
    options.output.write_text(json.dumps(record, indent=2, default=str) + "\n")


def demo_tasks(folder: Path, number: int) -> list[Task]:
    """The tickets that the demo holds out."""
    record = json.loads((folder / "demo.json").read_text())["options"]
    return held_out_tasks(number, record["seed"], training_tasks(record["training_tasks"], record["seed"]))


def training_share(folder: Path, vocabulary: lar.LatentVocabulary) -> float:
    """The share of the turns of the training corpus that are not canonical: 0, or training is at fault."""
    return training_canonicity(vocabulary, lar.Corpus.load(folder / "corpus")).turn_share


def measure(student: Student, tasks: list[Task], temperature: float, seeds: int, *, guarded: bool) -> Line:
    """Let the student work on all tickets, once for each seed; once where nothing is drawn."""
    sampling = Sampling(GREEDY.max_units, temperature=temperature, canonical=guarded)
    arms = []
    for seed in range(seeds if temperature else 1):
        torch.manual_seed(seed)
        arms.append(
            record_of(run_online(student, [TicketSession(task) for task in tasks], sampling), len(tasks))
        )
    return Line(temperature, guarded, arms)


def record_of(arm: Arm, tickets: int) -> dict[str, Any]:
    """One run as JSON-ready values; means are over tickets."""
    return {
        "success": arm.success,
        "units": arm.units,
        "base_tokens": arm.base_tokens,
        "turns": arm.turns,
        "wasted": arm.canonicity.wasted_units / tickets,
        "seconds_a_unit": arm.seconds / (arm.units * tickets),
        **{name: value for name, value in arm.canonicity.to_dict().items() if name.endswith("share")},
        "solved": arm.solved,
    }


if __name__ == "__main__":
    main()
