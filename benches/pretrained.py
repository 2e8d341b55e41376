"""The whole way on a real pretrained model: adapt, score, mine with a gate, distil with a control, stream.

    python benches/pretrained.py --model smollm2/ --trajectories shared/data/tau_bench.jsonl.gz -o results/

Every stage leaves a folder and is skipped when it is there, so a run that was stopped goes on. Bits per byte
are of the agent's text on held-out tasks; base, control and student see the same windows of it.
"""

import argparse
import json
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

import lar
from lar.bits_per_byte import bits_per_byte
from lar.distillation import AdaptOptions, DistillOptions, Student
from lar.entropy import entropy_quantiles
from lar.generation import Sampling, generate

HELD_OUT = 0.2


def main() -> None:
    """Run the stages in order and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--model", type=Path, required=True, help="checkpoint folder")
    parser.add_argument("--trajectories", type=Path, nargs="+", required=True)
    parser.add_argument("--size", type=int, default=256, help="number of latents")
    parser.add_argument("--max-entropy", default="p60", help="the gate")
    parser.add_argument("--min-support", type=int, default=5)
    parser.add_argument("--attempts", type=int, default=1, help="trajectories of a task that are used")
    parser.add_argument(
        "--evaluated", type=int, default=2, help="held-out trajectories that bits are taken on"
    )
    parser.add_argument("--adapt-steps", type=int, default=100)
    parser.add_argument("--steps", type=int, default=100, help="of student and control")
    parser.add_argument("--loss", default="marginal")
    parser.add_argument("--max-length", type=int, default=512, help="base tokens of a window")
    parser.add_argument(
        "--scored-length", type=int, default=2048, help="base tokens of a trajectory to score"
    )
    parser.add_argument(
        "--only", choices=["adapt", "score", "student", "control", "table"], help="stop after this"
    )
    parser.add_argument("-o", "--output", type=Path, required=True)
    options = parser.parse_args()
    stages = {"adapt": adapt, "score": score, "student": student, "control": control, "table": table}
    for name, stage in stages.items():
        began = time.perf_counter()
        stage(options)
        print(f"{name}: {time.perf_counter() - began:.0f} s", flush=True)
        if name == options.only:
            break


def split(options: argparse.Namespace) -> tuple[lar.Corpus, lar.Corpus]:
    """Training and held-out tasks."""
    return lar.Corpus.load(options.output / "corpus").split(HELD_OUT)


def first_attempts(trajectories: Iterable[lar.Trajectory], number: int) -> Iterator[lar.Trajectory]:
    """At most `number` trajectories of each task: CPU time is short, and retries teach little."""
    seen: Counter[str] = Counter()
    for trajectory in trajectories:
        seen[trajectory.task] += 1
        if seen[trajectory.task] <= number:
            yield trajectory


def adapt(options: argparse.Namespace) -> None:
    """Another model wrote the logs: fine-tune a LoRA on the agent's turns and merge it."""
    trajectories = first_attempts(lar.read_trajectories(options.trajectories), options.attempts)
    lar.Corpus.build(trajectories, options.model, options.output / "corpus")
    if not (options.output / "teacher").exists():
        train, _ = split(options)
        settings = AdaptOptions(
            learning_rate=1e-3, max_steps=options.adapt_steps, max_length=options.max_length, save_steps=25
        )
        lar.adapt(options.model, train, settings, options.output / "teacher", progress=steps)


def score(options: argparse.Namespace) -> None:
    """The adapted model's entropies, and the vocabulary that they gate."""
    corpus = lar.score(
        lar.Corpus.load(options.output / "corpus"),
        options.output / "teacher",
        max_length=options.scored_length,
        progress=steps,
    )
    print(json.dumps(entropy_quantiles(corpus)))
    if not (options.output / "vocabulary").exists():
        train, _ = split(options)
        gate, support = options.max_entropy, options.min_support
        vocabulary = lar.mine(train, size=options.size, max_entropy=gate, min_support=support)
        vocabulary.save(options.output / "vocabulary")


def student(options: argparse.Namespace) -> None:
    """Distil."""
    distil(options, "student", control=False)


def control(options: argparse.Namespace) -> None:
    """The same data and steps without latents."""
    distil(options, "control", control=True)


def distil(options: argparse.Namespace, name: str, *, control: bool) -> None:
    """Train one arm, unless it is there."""
    if (options.output / name).exists():
        return
    train, _ = split(options)
    settings = DistillOptions(
        loss=options.loss,
        max_steps=options.steps,
        max_length=options.max_length,
        control=control,
        save_steps=25,
    )
    vocabulary = lar.LatentVocabulary.load(options.output / "vocabulary")
    lar.distill(
        options.output / "teacher", train, vocabulary, settings, options.output / name, progress=steps
    )


def table(options: argparse.Namespace) -> None:
    """Bits per byte and units of each arm on held-out tasks, and three generated turns."""
    _, held_out = split(options)
    few = set(sorted(held_out.tasks)[: options.evaluated])
    vocabulary = lar.LatentVocabulary.load(options.output / "vocabulary")
    teacher = options.output / "teacher"
    arms: dict[str, Any] = {
        "pretrained": options.model,
        "base (adapted)": teacher,
        "control": Student.load(options.output / "control", teacher),
        "student": Student.load(options.output / "student", teacher),
    }
    results = {}
    for name, model in arms.items():
        results[name] = bits_per_byte(model, held_out.select(few.__contains__), max_length=options.max_length)
        print(
            f"{name:<15} {results[name].bits_per_byte:.4f} bits a byte, {results[name].units} units",
            flush=True,
        )
    reduction = lar.evaluate(vocabulary, {"held out": held_out}).as_dict()
    print(json.dumps(reduction))
    turns = generated_turns(arms["student"], held_out)
    for turn in turns:
        print(turn)
    bits = {name: found.as_json() for name, found in results.items()}
    record = {"bits_per_byte": bits, "reduction": reduction, "turns": turns, "options": vars(options)}
    (options.output / "results.json").write_text(json.dumps(record, indent=2, default=str) + "\n")


def generated_turns(student: Student, corpus: lar.Corpus, number: int = 3) -> list[str]:
    """What the student says where the agent of `number` unseen conversations spoke for the second time.

    Each latent stands in brackets.
    """
    vocabulary = student.vocabulary
    shard = next(corpus.shards())
    prompts = []
    for begin, end in pairwise(shard.offsets[: number + 1].tolist()):
        turns = begin + np.flatnonzero(np.diff(shard.action[begin:end].astype(np.int8)) == 1) + 1
        prompts.append(shard.tokens[begin : turns[min(1, len(turns) - 1)]])
    return [
        "".join(
            f"⟦{vocabulary.text([unit])}⟧" if unit >= vocabulary.base_size else vocabulary.text([unit])
            for unit in generate(student, [prompt], Sampling(max_units=80))[0].units.tolist()
        )
        for prompt in prompts
    ]


def steps(done: int, total: int | None) -> None:
    """Print progress now and then."""
    if total and done * 20 // total != (done - 1) * 20 // total:
        print(f"  {done} of {total}", flush=True)


if __name__ == "__main__":
    main()
