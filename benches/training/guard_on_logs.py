"""The effect of the sampling guard on a student of real logs: turns that an engine reads as other ids.

    python -m benches.training.guard_on_logs --student student/ --corpus corpus/ -o guard_on_logs.json

The student writes turns of held-out tasks, each after the conversation as it was logged. "not canonical": the
share of turns that differ from the canonical parse of their text. "misread": the share of turns in whose text
an engine finds other latents than were written.
"""

from pathlib import Path

import numpy as np

import lar
from benches import entry
from benches.training.sampling_guard import TEMPERATURES
from lar.corpus.seen_tasks import check_unseen
from lar.distillation import Student
from lar.errors import OptionError
from lar.evaluation.canonicity import Canonicity, canonicity
from lar.generation.generate import generate
from lar.generation.sampling import Sampling
from lar.utils.files import write_json


def main() -> None:
    """Measure every temperature with and without the guard, print the table, and write JSON."""
    parser = entry.parser(__doc__)
    parser.add_argument("--student", type=Path, required=True, help="folder of the student")
    parser.add_argument("--corpus", type=Path, required=True, help="corpus folder")
    parser.add_argument(
        "--hold-out", type=float, default=0.2, help="share of the tasks, if the corpus stores no split"
    )
    parser.add_argument("--turns", type=entry.positive, default=50, help="number of turns of the agent")
    parser.add_argument(
        "--longest", type=entry.positive, default=1536, help="base tokens of a prompt, at most"
    )
    parser.add_argument("--max-units", type=entry.positive, default=48, help="units of a turn, at most")
    parser.add_argument("-o", "--output", type=Path, required=True, help="JSON file of the figures")
    options = parser.parse_args()
    student = Student.load(options.student, device="cpu")
    held_out = held_out_of(lar.Corpus.load(options.corpus), options.hold_out, student)
    prompts = prompts_of(held_out, options.longest)
    if len(prompts) < options.turns:
        raise OptionError(f"{options.corpus}: only {len(prompts)} turns of held-out tasks; lower --turns")
    chosen = [prompts[index * len(prompts) // options.turns] for index in range(options.turns)]
    print("| temperature | guard | turns | not canonical | misread |\n|---|---|---|---|---|")
    rows = []
    for temperature in TEMPERATURES:
        for guarded in (False, True):
            sampling = Sampling(options.max_units, temperature, seed=0, canonical=guarded)
            found = measure(student, chosen, sampling)
            rows.append({"temperature": temperature, "guarded": guarded, **found.to_dict()})
            shares = f"{found.turn_share:.2%} | {found.misread_share:.2%}"
            print(f"| {temperature} | {'on' if guarded else 'off'} | {found.turns} | {shares} |", flush=True)
    write_json(options.output, rows)


def held_out_of(corpus: lar.Corpus, share: float, student: Student) -> lar.Corpus:
    """The held-out tasks of a corpus; `share` of its tasks if it stores no split.

    Raises:
        CorpusError: the student or its vocabulary has seen some of them.
    """
    held_out = corpus.held_out or corpus.split(share)[1]
    check_unseen(held_out, student.trained_tasks, "the student was trained on")
    check_unseen(held_out, student.vocabulary.mined_tasks, "its vocabulary was mined on")
    return held_out


def prompts_of(corpus: lar.Corpus, longest: int) -> list[str]:
    """The text before each turn of the agent, where it has at most `longest` base tokens."""
    return [
        corpus.tokenizer.decode(row.tokens[:start])
        for row in corpus
        for start in (np.flatnonzero(np.diff(row.action.astype(np.int8)) == 1) + 1).tolist()
        if start <= longest
    ]


def measure(student: Student, prompts: list[str], sampling: Sampling) -> Canonicity:
    """The canonicity of one turn after each prompt."""
    turns = [generate(student, [prompt], sampling)[0].units for prompt in prompts]
    return canonicity(student.vocabulary, [turn for turn in turns if len(turn)])


if __name__ == "__main__":
    entry.run(main)
