"""Losses, row starts and gates by what agents do with them: online success over several seeds, in tables.

    python -m benches.arms.run demo -o results/
    python -m benches.arms.run babyai --environments ../shared/environments -o results/

For each seed a tiny base model learns from an expert's trajectories; they are scored by it and mined at each
gate. Every arm is trained from that teacher for the same steps and works, greedy, on the same held-out tasks:

    base                                the model that all arms begin with
    control-sft                         trained with that loss, the same data and steps, no latents
    marginal-mean-p70                   a student: loss, row start, gate (p70, 0.05 nats, or `none`)
    marginal-mean-p70,unit_weight=0.5   the same with further fields of `DistillOptions`

Planned are losses x gates with the default start, and starts x {default gate, none} with the default loss.
--arms chooses among them by pattern, or names others outright:

    python -m benches.arms.run demo -o results/ --arms '*-hidden-*'
    python -m benches.arms.run demo -o results/ --arms 'marginal-exponential-p70,row_learning_rate=0.03'
    python -m benches.arms.run demo -o results/ --only-entropies      the distribution to choose gates by
    python -m benches.arms.run demo -o results/ --only-table          what has been measured, no more work

What is there is not made again, so a run that was stopped goes on, and more arms cost themselves alone; each
is one file, OUTPUT/WORLD/seed-N/arms/NAME.json (remove it to measure again). Arms that this version of the
package does not know are skipped with a line. `babyai` needs `pip install minigrid==3.2.0`. For steady
figures set OMP_NUM_THREADS=1: how threads add up changes what a seed gives.
"""

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path

from benches.arms.babyai import ENVIRONMENT, BabyAI
from benches.arms.names import ArmName, chosen, plan
from benches.arms.stages import Seed, claim
from benches.arms.tables import print_tables
from benches.arms.worlds import OrderDesk, World
from lar.distillation import DistillOptions
from lar.errors import OptionError

GATES = ["p60", "p75", "p90"]
DEFAULT_GATE = "p75"


def main() -> None:
    """Measure what is asked for and missing, then print the tables."""
    options = _arguments()
    world = _world(options)
    claim(world, options.output)
    seeds = [Seed(world, seed, options.output) for seed in options.seeds]
    arms = chosen(options.arms, plan(options.gates, options.default_gate))
    if options.only_entropies:
        for seed in seeds:
            print(f"seed {seed.seed}: {json.dumps(seed.entropies())}", flush=True)
        return
    if not options.only_table:
        _measure(seeds, arms)
    print_tables(options.output / world.name, _with_found(arms, seeds), options.seeds, DistillOptions().loss)


def _measure(seeds: list[Seed], arms: list[ArmName]) -> None:
    """Measure the arms in their order, each with all seeds before the next."""
    for arm in arms:
        for seed in seeds:
            if seed.result_file(arm).exists():
                continue
            began = time.perf_counter()
            try:
                found = seed.measure(arm)
            except OptionError as error:
                print(f"{arm.text}: skipped, {error}", flush=True)
                break
            success = sum(found["solved"]) / len(found["solved"])
            seconds = time.perf_counter() - began
            print(f"{arm.text}, seed {seed.seed}: {success:.1%}, {seconds:.0f} s", flush=True)


def _with_found(arms: list[ArmName], seeds: list[Seed]) -> list[ArmName]:
    """`arms`, and all others that have been measured."""
    files = sorted(file.stem for seed in seeds for file in (seed.folder / "arms").glob("*.json"))
    known = {arm.text for arm in arms}
    return arms + [ArmName.parse(name) for name in dict.fromkeys(files) if name not in known]


def _world(options: argparse.Namespace) -> World:
    """The world with the settings that were asked for."""
    world = OrderDesk() if options.world == "demo" else BabyAI(options.environments, options.environment)
    wanted = ("training_tasks", "episodes", "latents", "min_support")
    given = {name: value for name in wanted if (value := getattr(options, name)) is not None}
    settings = replace(world.settings, **given)
    if options.base_steps is not None:
        settings = replace(settings, base_model=replace(settings.base_model, steps=options.base_steps))
    learning = {"max_steps": options.steps, "batch_tokens": options.batch_tokens}
    given = {name: value for name, value in learning.items() if value is not None}
    settings = replace(settings, distillation=replace(settings.distillation, **given))
    world.settings = settings
    return world


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("world", choices=["demo", "babyai"])
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder for all stages and figures")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument(
        "--gates", nargs="+", default=GATES, help="beside the ungated arm (default: %(default)s)"
    )
    parser.add_argument(
        "--default-gate", default=DEFAULT_GATE, help="of the arms that compare starts (default: %(default)s)"
    )
    parser.add_argument("--arms", nargs="+", default=["*"], help="patterns or names (default: all planned)")
    parser.add_argument("--environments", type=Path, default=Path("../shared/environments"))
    parser.add_argument("--environment", default=ENVIRONMENT, help="BabyAI's id (default: %(default)s)")
    size = parser.add_argument_group("size", "the world's own where not given; the same for all arms in -o")
    size.add_argument("--steps", type=int, help="of distillation")
    size.add_argument("--batch-tokens", type=int, help="base tokens of a step of distillation")
    size.add_argument("--base-steps", type=int, help="of the base model's training")
    size.add_argument("--training-tasks", type=int)
    size.add_argument("--episodes", type=int, help="held-out tasks")
    size.add_argument("--latents", type=int)
    size.add_argument("--min-support", type=int)
    only = parser.add_mutually_exclusive_group()
    only.add_argument("--only-entropies", action="store_true")
    only.add_argument("--only-table", action="store_true")
    return parser.parse_args()


if __name__ == "__main__":
    main()
