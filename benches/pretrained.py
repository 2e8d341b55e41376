"""The whole way on a real pretrained model: adapt, score, mine with a gate, distil with a control, stream.

    python benches/pretrained.py --model smollm2/ --trajectories shared/data/tau_bench.jsonl.gz -o results/

Every stage leaves a folder and is skipped when it is there, so a run that was stopped goes on. Bits per byte
are of the agent's text on held-out tasks; base, control and student see the same windows of it.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

import lar
from lar.bits_per_byte import bits_per_byte
from lar.distillation import AdaptOptions, DistillOptions, Student
from lar.entropy import entropy_quantiles
from lar.generation import generate

HELD_OUT = 0.2


def main() -> None:
    """Run the stages in order and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--model", type=Path, required=True, help="checkpoint folder")
    parser.add_argument("--trajectories", type=Path, nargs="+", required=True)
    parser.add_argument("--size", type=int, default=256, help="number of latents")
    parser.add_argument("--max-entropy", default="p60", help="the gate")
    parser.add_argument("--min-support", type=int, default=5)
    parser.add_argument("--adapt-steps", type=int, default=150)
    parser.add_argument("--steps", type=int, default=150, help="of student and control")
    parser.add_argument("--loss", default="marginal")
    parser.add_argument("--max-length", type=int, default=2048, help="base tokens of a window")
    parser.add_argument("--only", choices=["adapt", "score", "student", "control", "table"], help="stop after this")
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


def adapt(options: argparse.Namespace) -> None:
    """Another model wrote the logs: fine-tune a LoRA on the agent's turns and merge it."""
    trajectories = lar.read_trajectories(options.trajectories)
    lar.Corpus.build(trajectories, options.model, options.output / "corpus")
    if not (options.output / "teacher").exists():
        train, _ = split(options)
        settings = AdaptOptions(
            learning_rate=1e-3, max_steps=options.adapt_steps, max_length=options.max_length
        )
        lar.adapt(options.model, train, settings, options.output / "teacher", progress=steps)


def score(options: argparse.Namespace) -> None:
    """The adapted model's entropies, and the vocabulary that they gate."""
    corpus = lar.score(lar.Corpus.load(options.output / "corpus"), options.output / "teacher", progress=steps)
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
        loss=options.loss, max_steps=options.steps, max_length=options.max_length, control=control
    )
    vocabulary = lar.LatentVocabulary.load(options.output / "vocabulary")
    lar.distill(options.output / "teacher", train, vocabulary, settings, options.output / name, progress=steps)


def table(options: argparse.Namespace) -> None:
    """Bits per byte and units of each arm on held-out tasks, and three generated turns."""
    _, held_out = split(options)
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
        results[name] = bits_per_byte(model, held_out, max_length=options.max_length)
        print(name, results[name], flush=True)
    reduction = lar.evaluate(vocabulary, {"held out": held_out}).as_dict()
    print(json.dumps(reduction))
    turns = generated_turns(arms["student"], held_out)
    for turn in turns:
        print(turn)
    record = {"bits_per_byte": results, "reduction": reduction, "turns": turns, "options": vars(options)}
    (options.output / "results.json").write_text(json.dumps(record, indent=2, default=str) + "\n")


def steps(done: int, total: int | None) -> None:
    """Print progress now and then."""
    if total and done % max(1, total // 20) == 0:
        print(f"  {done} of {total}", flush=True)


if __name__ == "__main__":
    main()
