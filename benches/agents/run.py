r"""Success and cost of agents with and without latents, online, on the tasks of a world.

    python -m benches.agents.run search_qa --shared ../shared --model smollm2/ --device cpu -o results/
    python -m benches.agents.run search_qa --shared ../shared --model smollm2/ -o results/ --arms 'lar-*'
    python -m benches.agents.run tau2_telecom --shared ../shared --model student/ \
        --server http://localhost:8000/v1 student -o served/

The base model is adapted to a world's runs. Every arm (`arms.py`) starts from it, learns from the same runs
for the same steps, and works on the same held-out tasks. Each stage and each arm is a folder or file in
OUTPUT, and is skipped if that exists: a stopped run continues, and --arms adds arms. With --adapted, --model
has learnt from the runs already (the export of a control), and the arms start from it as it is. At the end
the table of all measured arms is printed; --record also writes their figures, without the episodes, to a
JSON file, and a picture of them beside it (SVG and PNG).

--split unseen takes the students to further held-out tasks, and prints and records their figures alone;
--split fresh to those that no default was chosen on, which only search_qa has.

Seconds of arms that ran one after another compare only on a quiet machine. --timed lets the chosen arms and
the control work in turns, one episode at a time, and prints the ratios of their seconds.

With --server the tasks are worked on by a model behind an OpenAI-compatible server, and nothing is trained;
--model is then the folder of the tokenizer. Its figures stand under the model's name, beside those of OUTPUT.
"""

import argparse
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import get_args

import torch

import lar
from benches import entry
from benches.agents.alternating import Timed, timed, timing_table
from benches.agents.arms import ARMS, CONTROL, matching
from benches.agents.plot import write_picture
from benches.agents.server_agent import ServerAgent
from benches.agents.stages import Bench, Settings
from benches.agents.table import summary, table
from benches.agents.worlds.choice import WORLDS, Choice
from benches.agents.worlds.world import Split
from lar.distillation import AdaptOptions, DistillOptions
from lar.generation.sampling import Sampling
from lar.utils.files import write_json


def main() -> None:
    """Measure the chosen arms that have no figures yet, then print the table."""
    parser = _parser()
    options = parser.parse_args()
    if options.server and options.timed:
        parser.error("--timed compares trained arms; a server has none")
    torch.manual_seed(options.seed)  # of what is sampled: a seed in `Sampling` would draw alike in each turn
    choice = WORLDS[options.world]
    tokenizer = lar.Tokenizer.load(options.model)
    world = choice.make(options.shared, tokenizer)
    if options.split not in world.splits:
        parser.error(f"{world.name} has no split {options.split!r}, but {', '.join(world.splits)}")
    bench = Bench(world, _settings(options, choice), options.output, _Steps(), options.split)
    if options.server:
        url, model = options.server
        bench.measure_agent(model, ServerAgent(url, model, tokenizer, bench.settings.sampling))
    else:
        for name in matching(options.arms):
            bench.measure(name, ARMS[name])
    records = bench.records()
    found = {"settings": bench.settings_record, "arms": summary(records)}
    print(table(records))
    if options.timed:
        times = _timed(bench, matching(options.arms), options.timed)
        print(timing_table(times, CONTROL))
        found["timed"] = {name: asdict(arm) for name, arm in times.items()}
    if options.record:
        write_json(options.record, found)
        write_picture(world.name, records, options.record.with_suffix(""))


def _timed(bench: Bench, names: Iterable[str], tasks: int) -> dict[str, Timed]:
    """The seconds of the control and of arms in turns."""
    chosen = dict.fromkeys([CONTROL, *names])
    students = {name: bench.student(name, ARMS[name]) for name in chosen}
    agents = {name: ARMS[name].agent(name, students[name], bench.settings.sampling) for name in chosen}
    return timed(bench.world, bench.world.tasks(bench.split, tasks), agents, students)


def _settings(options: argparse.Namespace, choice: Choice) -> Settings:
    common = {
        "max_length": options.max_length or choice.max_length,
        "batch_tokens": options.batch_tokens,
        "device": options.device,
        "dtype": options.dtype,
        "seed": options.seed,
        # Twice the default, too low for models this small (docs/results/training.md, after 40 steps).
        "learning_rate": 1e-3,
        "save_steps": 50,
    }
    adapt_steps, steps = options.adapt_steps or choice.adapt_steps, options.steps or choice.steps
    return Settings(
        model=str(options.model),
        runs=options.runs,
        tasks=options.tasks,
        batch=options.batch,
        adapt=None if options.adapted else AdaptOptions(**common, max_steps=adapt_steps),
        distill=DistillOptions(**common, max_steps=steps),
        sampling=Sampling(max_units=choice.max_units, temperature=options.temperature),
        scored_tokens=choice.scored_tokens,
    )


class _Steps:
    """Prints every tenth of the steps of a training."""

    def __init__(self) -> None:
        self._printed = -1

    def __call__(self, done: int, total: int | None) -> None:
        part = 10 * done // total if total else 0
        if part != self._printed:
            print(f"{done} of {total} steps", flush=True)
            self._printed = part


def _parser() -> argparse.ArgumentParser:
    parser = entry.parser(__doc__)
    parser.add_argument("world", choices=sorted(WORLDS), help="world of the tasks")
    parser.add_argument("--shared", type=Path, required=True, help="folder with tasks/ and environments/")
    parser.add_argument("--model", type=Path, required=True, help="checkpoint folder of the base model")
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder of all stages and figures")
    parser.add_argument("--arms", nargs="+", default=["*"], help="patterns of names (default: all)")
    parser.add_argument("--tasks", type=int, default=200, help="tasks of the split")
    parser.add_argument(
        "--split",
        choices=get_args(Split),
        default="test",
        help="tasks of the table, or further ones",
    )
    parser.add_argument("--runs", type=entry.positive, help="most runs that are learnt from (default: all)")
    parser.add_argument("--batch", type=int, default=16, help="episodes at once")
    parser.add_argument(
        "--adapt-steps", type=entry.positive, help="steps of the adaptation (default: the world's)"
    )
    parser.add_argument("--adapted", action="store_true", help="all arms start from --model as it is")
    parser.add_argument("--steps", type=entry.positive, help="steps of each arm (default: the world's)")
    parser.add_argument(
        "--max-length", type=entry.positive, help="base tokens of a window (default: the world's)"
    )
    parser.add_argument(
        "--batch-tokens", type=entry.positive, help="base tokens of a step (default: one window)"
    )
    parser.add_argument("--seed", type=int, default=0, help="of training, and of what trained agents sample")
    parser.add_argument("--temperature", type=float, default=0.0, help="of all agents; 0 is greedy")
    parser.add_argument("--device", help='for example "cpu" (default: the GPU if there is one)')
    parser.add_argument("--dtype", default="auto", help="of the weights in training")
    parser.add_argument(
        "--server",
        nargs=2,
        metavar=("URL", "MODEL"),
        help="URL and model of an OpenAI-compatible server (default: arms are trained)",
    )
    parser.add_argument(
        "--timed",
        type=entry.positive,
        help="let the arms work in turns on so many tasks, and time them (default: not)",
    )
    parser.add_argument(
        "--record",
        type=Path,
        help="also write the figures to this JSON file, and a picture (default: printed alone)",
    )
    return parser


if __name__ == "__main__":
    entry.run(main)
