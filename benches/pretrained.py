"""A real pretrained model: one adapted teacher, vocabularies at several gates, and every arm at equal steps.

    python benches/pretrained.py --model smollm2/ --trajectories shared/data/tau_bench.jsonl.gz -o results/

Stages: a corpus of at most `--attempts` trajectories a task; a teacher adapted to its training tasks (another
model wrote the logs); its entropies and likeliest tokens, once for all; a vocabulary at each gate; an arm
for each gate and loss, and two controls without latents, `marginal` (nothing to learn) and `sft`. All arms
read the same windows in the same order. Bits per byte are of the agent's text in one sample of held-out
windows. With `--live-teacher` the teacher reads every batch anew; without entropy gates nothing is scored
then. Every stage and arm leaves a folder and is skipped when it is there: a run that was stopped goes on, and
`--arms` adds to what is there. `--only` runs one stage.
"""

import argparse
import json
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import lar
from lar.distillation import AdaptOptions, DistillOptions
from lar.entropy import entropy_quantiles

HELD_OUT = 0.2
BITS = "eval_bits_per_byte"


@dataclass(frozen=True)
class Arm:
    """What is trained: a gate ("none", "p60", ..., "control"), a loss, and how the rows start."""

    gate: str
    loss: str
    row_start: str = DistillOptions.row_start
    output_start: str = DistillOptions.output_start

    @classmethod
    def parse(cls, text: str) -> "Arm":
        """An arm of GATE:LOSS[:ROW_START[:OUTPUT_START]]."""
        return cls(*text.split(":"))

    @property
    def name(self) -> str:
        """The name of its folder."""
        return "-".join((self.gate, self.loss, self.row_start, self.output_start))


def main() -> None:
    """Run the stages in order and print the table."""
    options = _arguments()
    stages = {"adapt": adapt, "score": score, "mine": mine, "arms": arms, "table": table}
    for name, stage in stages.items():
        if options.only in (None, name):
            began = time.perf_counter()
            stage(options)
            print(f"{name}: {time.perf_counter() - began:.0f} s", flush=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--model", type=Path, required=True, help="checkpoint folder")
    parser.add_argument("--trajectories", type=Path, nargs="+", required=True)
    parser.add_argument("--attempts", type=int, default=1, help="trajectories of a task that are used")
    parser.add_argument("--tasks", type=int, help="the first tasks of the logs that are used; default: all")
    parser.add_argument("--size", type=int, default=256, help="number of latents")
    parser.add_argument("--gates", nargs="+", default=["p40", "p60", "p80", "none"])
    parser.add_argument("--losses", nargs="+", default=["marginal", "paper", "sft"])
    parser.add_argument(
        "--arms", nargs="+", help="GATE:LOSS[:ROW_START[:OUTPUT_START]]; default: all of both"
    )
    parser.add_argument("--min-support", type=int, default=5)
    parser.add_argument("--adapt-steps", type=int, default=100)
    parser.add_argument("--steps", type=int, default=100, help="of each arm")
    parser.add_argument("--max-length", type=int, default=512, help="base tokens of a window")
    parser.add_argument("--learning-rate", type=float, default=DistillOptions.learning_rate)
    parser.add_argument("--row-learning-rate", type=float, default=DistillOptions.row_learning_rate)
    parser.add_argument("--hidden-weight", type=float, default=DistillOptions.hidden_weight)
    parser.add_argument("--tag", default="", help="ends the names of this run's arms")
    parser.add_argument("--top-k", type=int, default=64, help="likely tokens kept of the teacher")
    parser.add_argument("--live-teacher", action="store_true", help="read the teacher, not its cached scores")
    parser.add_argument("--evaluate-steps", type=int, default=50)
    parser.add_argument("--evaluated-windows", type=int, default=24)
    parser.add_argument("--only", choices=["adapt", "score", "mine", "arms", "table"], help="run one stage")
    parser.add_argument("-o", "--output", type=Path, required=True)
    return parser.parse_args()


def split(options: argparse.Namespace) -> tuple[lar.Corpus, lar.Corpus]:
    """Training and held-out tasks."""
    return lar.Corpus.load(options.output / "corpus").split(HELD_OUT)


def first_attempts(
    trajectories: Iterable[lar.Trajectory], number: int, tasks: int | None
) -> Iterator[lar.Trajectory]:
    """At most `number` trajectories of each of the first `tasks` tasks: retries teach less than new tasks."""
    seen: Counter[str] = Counter()
    for trajectory in trajectories:
        if tasks is None or trajectory.task in seen or len(seen) < tasks:
            seen[trajectory.task] += 1
            if seen[trajectory.task] <= number:
                yield trajectory


def adapt(options: argparse.Namespace) -> None:
    """Another model wrote the logs: fine-tune a LoRA on the agent's turns and merge it."""
    trajectories = first_attempts(
        lar.read_trajectories(options.trajectories), options.attempts, options.tasks
    )
    lar.Corpus.build(trajectories, options.model, options.output / "corpus")
    if not (options.output / "teacher").exists():
        settings = AdaptOptions(
            learning_rate=1e-3, max_steps=options.adapt_steps, max_length=options.max_length, save_steps=25
        )
        lar.adapt(options.model, split(options)[0], settings, options.output / "teacher", progress=steps)


def score(options: argparse.Namespace) -> None:
    """The adapted model's entropies, and its likeliest tokens for all arms, if any would read them."""
    if options.live_teacher and options.gates == ["none"]:
        return
    corpus = lar.score(
        lar.Corpus.load(options.output / "corpus"),
        options.output / "teacher",
        max_length=options.max_length,
        top_k=options.top_k,
        progress=steps,
    )
    print(json.dumps(entropy_quantiles(corpus)))


def mine(options: argparse.Namespace) -> None:
    """A vocabulary at each gate, and what it saves on the held-out tasks."""
    train, held_out = split(options)
    for gate in options.gates:
        folder = options.output / "vocabularies" / gate
        if not folder.exists():
            limit = None if gate == "none" else gate
            found = lar.mine(train, size=options.size, max_entropy=limit, min_support=options.min_support)
            found.save(folder)
        vocabulary = lar.LatentVocabulary.load(folder)
        print(gate, json.dumps(lar.evaluate(vocabulary, {"held out": held_out}).as_dict()), flush=True)


def chosen_arms(options: argparse.Namespace) -> list[Arm]:
    """The arms that were asked for."""
    if options.arms:
        return [Arm.parse(text) for text in options.arms]
    controls = [Arm("control", "marginal"), Arm("control", "sft")]
    return controls + [Arm(gate, loss) for gate in options.gates for loss in options.losses]


def arms(options: argparse.Namespace) -> None:
    """Train each arm that is not there yet."""
    train, held_out = split(options)
    for arm in chosen_arms(options):
        folder = options.output / "arms" / (arm.name + options.tag)
        if folder.exists():
            continue
        began = time.perf_counter()
        student = lar.distill(
            options.output / "teacher",
            train,
            None if arm.gate == "control" else vocabulary_of(options, arm.gate),
            settings_of(options, arm),
            folder,
            held_out=held_out,
            progress=steps,
        )
        seconds = time.perf_counter() - began
        course = [line[BITS] for line in student.record["log"] if BITS in line]
        print(f"{arm.name}: {seconds:.0f} s, bits per byte {course}", flush=True)


def settings_of(options: argparse.Namespace, arm: Arm) -> DistillOptions:
    """The options of an arm: the same but for what it is named after."""
    return DistillOptions(
        loss=arm.loss,
        row_start=arm.row_start,
        output_start=arm.output_start,
        control=arm.gate == "control",
        learning_rate=options.learning_rate,
        row_learning_rate=options.row_learning_rate,
        hidden_weight=options.hidden_weight,
        cached_teacher=not options.live_teacher,
        max_steps=options.steps,
        max_length=options.max_length,
        evaluate_steps=options.evaluate_steps,
        evaluated_windows=options.evaluated_windows,
        save_steps=50,
    )


def vocabulary_of(options: argparse.Namespace, gate: str) -> lar.LatentVocabulary:
    """The vocabulary that was mined at a gate."""
    return lar.LatentVocabulary.load(options.output / "vocabularies" / gate)


def table(options: argparse.Namespace) -> None:
    """Every arm that is there: its curve, what its vocabulary saves, and how often it spells latents out."""
    _, held_out = split(options)
    reductions = {
        gate: lar.evaluate(vocabulary_of(options, gate), {"held out": held_out}).as_dict()["reduction"]
        for gate in options.gates
        if (options.output / "vocabularies" / gate).exists()
    }
    records = {}
    print("| arm | reduction | bits a byte, by steps | explicit preferred |\n|---|---|---|---|")
    for folder in sorted((options.output / "arms").iterdir()):
        if not (folder / "distillation.json").exists():
            continue
        record = json.loads((folder / "distillation.json").read_text())
        course = [line for line in record["log"] if BITS in line]
        records[folder.name] = {"course": course, "start": record["start"], "options": record["options"]}
        saved = reductions.get(folder.name.split("-")[0], 0.0)
        bits = ", ".join(f"{line['step']}: {line[BITS]:.3f}" for line in course)
        explicit = course[-1].get("eval_explicit_preference") if course else None
        print(f"| {folder.name} | {-saved:.1%} | {bits} | {'' if explicit is None else f'{explicit:.1%}'} |")
    result = {"reductions": reductions, "arms": records, "options": vars(options)}
    (options.output / "results.json").write_text(json.dumps(result, indent=2, default=str) + "\n")


def steps(done: int, total: int | None) -> None:
    """Print progress now and then."""
    if total and done * 20 // total != (done - 1) * 20 // total:
        print(f"  {done} of {total}", flush=True)


if __name__ == "__main__":
    main()
