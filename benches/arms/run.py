"""Online success of losses, row starts and gates, over several seeds, as a table.

    python -m benches.arms.run demo -o results/
    python -m benches.arms.run babyai --environments ../shared/environments -o results/

For each seed, a tiny base model learns from an expert's trajectories. It is the teacher: it scores them, and
they are mined at each gate. Every arm (`benches/arms/names.py`) is trained for the same steps and works,
greedily, on the same held-out tasks. The planned arms are all losses by all gates with the default row start,
and all row starts at two gates with the default loss. --arms chooses among them by pattern, and adds others:

    python -m benches.arms.run demo -o results/ --arms '*-hidden-*' 'marginal-exponential-p75,lora_rank=4'

Each arm's figures are one file, OUTPUT/WORLD/seed-N/arms/NAME.json. An arm whose file exists is skipped, so a
stopped run continues; remove the file to measure again. `babyai` needs `pip install minigrid==3.2.0`.
Set OMP_NUM_THREADS=1: otherwise the order in which threads add changes a seed's figures.
"""

import argparse
import time
from dataclasses import asdict, replace
from pathlib import Path

from benches import entry
from benches.arms.babyai import BabyAI
from benches.arms.names import ArmName, chosen, plan
from benches.arms.stages import Seed
from benches.arms.tables import print_table
from benches.arms.worlds import OrderDesk, World
from benches.claim import claim

GATES = ["p60", "p75", "p90"]
DEFAULT_GATE = "p75"


def main() -> None:
    """Measure the chosen arms that have no figures yet, then print the table."""
    options = _arguments()
    world = _world(options)
    claim(options.output / world.name, asdict(world.settings))
    seeds = [Seed(world, seed, options.output) for seed in options.seeds]
    arms = chosen(options.arms, plan(options.gates, options.default_gate))
    _measure(seeds, arms)
    print_table(options.output / world.name, arms, options.seeds)


def _measure(seeds: list[Seed], arms: list[ArmName]) -> None:
    """Measure the arms in their order, each with all seeds before the next."""
    for arm in arms:
        for seed in seeds:
            if seed.result_file(arm).exists():
                continue
            began = time.perf_counter()
            found = seed.measure(arm)
            success = sum(found["solved"]) / len(found["solved"])
            seconds = time.perf_counter() - began
            print(f"{arm.text}, seed {seed.seed}: {success:.1%}, {seconds:.0f} s", flush=True)


def _world(options: argparse.Namespace) -> World:
    """The world with the chosen length of distillation, and share of the tasks."""
    world = OrderDesk() if options.world == "demo" else BabyAI(options.environments)
    learning = {"max_steps": options.steps, "batch_tokens": options.batch_tokens}
    given = {name: value for name, value in learning.items() if value is not None}
    settings = world.settings
    distillation = replace(settings.distillation, **given)
    world.settings = replace(settings, distillation=distillation, learnt=options.learnt)
    return world


def _arguments() -> argparse.Namespace:
    parser = entry.parser(__doc__)
    parser.add_argument("world", choices=["demo", "babyai"], help="world of the tasks")
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder for all stages and figures")
    parser.add_argument(
        "--seeds", nargs="+", type=int, default=[0, 1, 2], help="each has its own tasks and base model"
    )
    parser.add_argument("--gates", nargs="+", default=GATES, help="gates beside `none`")
    parser.add_argument("--default-gate", default=DEFAULT_GATE, help="gate at which row starts are compared")
    parser.add_argument("--arms", nargs="+", default=["*"], help="patterns or names (default: all planned)")
    parser.add_argument(
        "--environments", type=Path, default=Path("../shared/environments"), help="folder of babyai_text.py"
    )
    parser.add_argument(
        "--learnt", type=float, default=1.0, help="share of the tasks that arms are mined and distilled from"
    )
    parser.add_argument("--steps", type=entry.positive, help="steps of distillation (default: the world's)")
    parser.add_argument(
        "--batch-tokens", type=entry.positive, help="base tokens of a step (default: the world's)"
    )
    return parser.parse_args()


if __name__ == "__main__":
    entry.run(main)
