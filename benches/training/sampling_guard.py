"""The effect of the sampling guard: the demo's student with and without it, greedy and sampled.

    lar demo -o demo
    python -m benches.training.sampling_guard --demo demo/ -o sampling_guard.json

Each line is a mean over the sampling seeds (one seed at temperature 0). "not canonical": the share of turns
that differ from the canonical parse of their text. "misread": the share of turns in whose text an engine
finds other latents than were written. "wasted": the units that turns have beyond their parse, per ticket.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import torch

import lar
from benches import entry
from lar.demo.online import GREEDY, Arm, run_online
from lar.demo.session import TicketSession
from lar.demo.tasks import Task, held_out_tasks, training_tasks
from lar.distillation import Student
from lar.evaluation.canonicity import training_canonicity
from lar.generation.sampling import Sampling
from lar.models.causal_lm import load_model
from lar.utils.files import write_json

TEMPERATURES = [0.0, 0.7, 1.0]
COLUMNS = "temperature  guard  not canonical  misread  wasted  success           units"


@dataclass(frozen=True)
class Line:
    """The figures of one temperature, guarded or not: one entry for each sampling seed."""

    temperature: float
    guarded: bool
    arms: list[dict[str, Any]]

    def mean(self, name: str) -> float:
        """The figure's mean over the seeds."""
        return mean(arm[name] for arm in self.arms)

    def spread(self, name: str) -> float:
        """The figure's standard error over the seeds; 0 for one seed."""
        values = [arm[name] for arm in self.arms]
        return stdev(values) / len(values) ** 0.5 if len(values) > 1 else 0.0

    def __str__(self) -> str:
        success = f"{self.mean('success'):.3f} +- {self.spread('success'):.3f}"
        guard = "on" if self.guarded else "off"
        return (
            f"{self.temperature:11.1f}  {guard:>5}  {self.mean('turn_share'):13.2%}  "
            f"{self.mean('misread_share'):7.2%}  "
            f"{self.mean('wasted'):6.3f}  {success:>14}  {self.mean('units'):9.2f}"
        )


def main() -> None:
    """Run every temperature with and without the guard, print the table, and write JSON."""
    parser = entry.parser(__doc__)
    parser.add_argument("--demo", type=Path, required=True, help="output folder of `lar demo`")
    parser.add_argument("--tasks", type=entry.positive, default=100, help="number of held-out tickets")
    parser.add_argument(
        "--seeds", type=entry.positive, default=3, help="number of sampling seeds of each temperature above 0"
    )
    parser.add_argument("-o", "--output", type=Path, required=True, help="JSON file of the figures")
    options = parser.parse_args()
    torch.set_num_threads(1)
    student = Student.load(options.demo / "student", load_model(options.demo / "model", device="cpu"))
    tasks = demo_tasks(options.demo, options.tasks)
    print(
        f"training: {training_share(options.demo, student.vocabulary):.2%} of the agent's turns not canonical"
    )
    print(COLUMNS)
    lines = []
    for temperature in TEMPERATURES:
        for guarded in (False, True):
            lines.append(measure(student, tasks, temperature, options.seeds, guarded=guarded))
            print(lines[-1], flush=True)
    lines_of = [asdict(line) for line in lines]
    write_json(options.output, {"options": entry.as_json(options), "lines": lines_of})


def demo_tasks(folder: Path, number: int) -> list[Task]:
    """The first `number` held-out tickets of the demo."""
    record = json.loads((folder / "demo.json").read_text())["options"]
    return held_out_tasks(number, record["seed"], training_tasks(record["training_tasks"], record["seed"]))


def training_share(folder: Path, vocabulary: lar.LatentVocabulary) -> float:
    """The share of the training corpus's turns that are not canonical; must be 0."""
    return training_canonicity(lar.Corpus.load(folder / "corpus"), vocabulary).turn_share


def measure(student: Student, tasks: list[Task], temperature: float, seeds: int, *, guarded: bool) -> Line:
    """Run the student on all tickets, once for each seed; once at temperature 0."""
    sampling = Sampling(GREEDY.max_units, temperature=temperature, canonical=guarded)
    arms = []
    for seed in range(seeds if temperature else 1):
        torch.manual_seed(seed)
        arms.append(
            record_of(run_online(student, [TicketSession(task) for task in tasks], sampling), len(tasks))
        )
    return Line(temperature, guarded, arms)


def record_of(arm: Arm, tickets: int) -> dict[str, Any]:
    """One run as JSON-ready values, with means over tickets."""
    return {
        "success": arm.success,
        "units": arm.units,
        "wasted": arm.canonicity.wasted_units / tickets,
        **{name: value for name, value in arm.canonicity.to_dict().items() if name.endswith("share")},
        "solved": arm.solved,
    }


if __name__ == "__main__":
    entry.run(main)
