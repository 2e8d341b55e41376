"""How well an arm has learnt its latents, by how often the runs that it learnt from have them.

    python -m benches.agents.learnt search_qa --shared ../shared --model smollm2/ -o results/ --arm lar-256

Reads the student of an arm that `benches.agents.run` has trained in OUTPUT, and the runs of the held-out
tasks. For each of the agent's units it compares the student's bits with those of its teacher for the same
base tokens, and prints means over the explicit units and over the latents, by their uses in training.
"""

import math
from bisect import bisect_right
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

import lar
from benches import entry
from benches.agents.worlds.choice import WORLDS
from lar.distillation import Student
from lar.distillation.data import Example, Examples, pack
from lar.models.causal_lm import load_model
from lar.models.hidden_states import hidden_states

BOUNDS = (0, 20, 40, 80, 160)  # least uses of each row of the table


@dataclass
class Row:
    """Sums over units: their number, bits of the student and of the teacher, and how many are likeliest."""

    units: int = 0
    student: float = 0.0
    teacher: float = 0.0
    likeliest: int = 0

    def line(self, name: str) -> str:
        """The row in Markdown."""
        means = f"{self.student / self.units:.2f} | {self.teacher / self.units:.2f}"
        share = f"{self.likeliest / self.units:.0%}"
        return f"| {name} | {self.units} | {means} | {self.student - self.teacher:.0f} | {share} |"


def main() -> None:
    """Print the table of one arm."""
    parser = entry.parser(__doc__)
    parser.add_argument("world", choices=sorted(WORLDS), help="world of the tasks")
    parser.add_argument("--shared", type=Path, required=True, help="folder with tasks/ and environments/")
    parser.add_argument("--model", type=Path, required=True, help="checkpoint folder of the base model")
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder of benches.agents.run")
    parser.add_argument("--arm", required=True, help="name of the arm")
    options = parser.parse_args()
    choice, tokenizer = WORLDS[options.world], lar.Tokenizer.load(options.model)
    runs = choice.make(options.shared, tokenizer).runs("test")
    folder = options.output / options.world
    student = Student.load(folder / "students" / options.arm, folder / "teacher")
    teacher = Student.plain(load_model(folder / "teacher"), tokenizer)
    rows = compared(lar.Corpus.build(runs, tokenizer), student, teacher, choice.max_length)
    print("| units | number | student, bits | teacher, bits | excess, all | likeliest |")
    print("|---|---:|---:|---:|---:|---:|")
    for name in ["explicit", *map(_name, BOUNDS)]:
        if name in rows:
            print(rows[name].line(name))


def compared(corpus: lar.Corpus, student: Student, teacher: Student, max_length: int) -> dict[str, Row]:
    """The sums by kind of unit; `teacher` has no latents."""
    uses = {latent.id: latent.uses for latent in student.vocabulary.latents}
    rows: defaultdict[str, Row] = defaultdict(Row)
    pairs = zip(
        Examples(corpus, student.vocabulary, max_length),
        Examples(corpus, teacher.vocabulary, max_length),
        strict=True,
    )
    for of_student, of_teacher in pairs:
        bits, likeliest = _bits(student, of_student)
        by_token = np.zeros(len(of_teacher.tokens))
        by_token[of_teacher.supervised] = _bits(teacher, of_teacher)[0]
        ends = np.append(of_student.starts[1:], len(of_student.tokens))
        for place, at in enumerate(of_student.supervised):
            unit = int(of_student.units[at])
            row = rows[_name(uses[unit]) if unit in uses else "explicit"]
            row.units += 1
            row.student += float(bits[place])
            row.teacher += float(by_token[of_student.starts[at] : ends[at]].sum())
            row.likeliest += int(likeliest[place])
    return dict(rows)


def _name(uses: int) -> str:
    """The name of the row of latents with so many uses."""
    place = bisect_right(BOUNDS, uses)
    if place == len(BOUNDS):
        return f"latents with {BOUNDS[-1]} uses or more"
    return f"latents with {BOUNDS[place - 1]} to {BOUNDS[place] - 1} uses"


@torch.no_grad()
def _bits(student: Student, example: Example) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Bits of each supervised unit, and whether it is the likeliest."""
    student.eval()
    batch = {name: tensor.to(student.device) for name, tensor in pack([example]).items()}
    hidden = hidden_states(student.base, batch["units"], batch["unit_positions"])[0, batch["student_at"]]
    logits = torch.cat(student.logits(hidden), dim=1).float()
    labels = batch["labels"][:, None]
    nats = -logits.log_softmax(-1).gather(1, labels)[:, 0]
    return (nats / math.log(2)).cpu().numpy(), (logits.argmax(-1) == labels[:, 0]).cpu().numpy()


if __name__ == "__main__":
    entry.run(main)
