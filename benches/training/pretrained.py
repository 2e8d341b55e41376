r"""A real pretrained model: one adapted teacher, vocabularies at several gates, and all arms at equal steps.

    python -m benches.training.pretrained --model smollm2/ --trajectories shared/data/tau_bench.jsonl.gz \
        -o results/

Stages:
1. A corpus of at most --attempts trajectories a task, or the one of --corpus.
2. A teacher adapted to the training tasks, since another model wrote the logs. With --patience it stops when
   a tenth of these, the validation tasks, gain nothing.
3. The teacher's entropies and likeliest tokens, for all arms. With --live-teacher the teacher reads every
   batch instead, and without entropy gates nothing is scored.
4. A vocabulary at each gate; "none@0.1" is mined without a gate and with a prompt weight of 0.1.
5. An arm for each gate and loss, and a control without latents. All arms read the same windows in the same
   order.

Bits per byte are of the agent's text in one sample of held-out windows. The held-out tasks are a fifth, split
off once by their names; no stage learns or chooses from them. Each stage and arm writes a folder and is
skipped if that exists, so a stopped run continues, and --arms and --gates add arms. The other options must be
those of the folder's first run.
"""

import argparse
import json
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lar
from benches import entry
from benches.claim import claim
from benches.training.pretrained_options import parser
from benches.training.row_start import RowStart
from lar.distillation import AdaptOptions, DistillOptions
from lar.distillation.options import LOSSES
from lar.scoring.distribution import entropy_quantiles
from lar.utils.files import write_json
from lar.utils.progress import Progress

HELD_OUT = 0.2
VALIDATION, VALIDATION_SEED = 0.1, 1  # of the training tasks
TOP_K = 64  # likeliest tokens that are kept of the teacher
BITS = "eval_bits_per_byte"
# Options that may differ between the runs that write to one folder.
MAY_CHANGE = ("output", "gates", "arms", "device", "save_steps")


@dataclass(frozen=True)
class Arm:
    """An arm: a gate ("none", "p60", "none@0.1", ..., "control"), a loss, and the start of the rows."""

    gate: str
    loss: str
    row_start: str = DistillOptions.row_start
    output_start: str = DistillOptions.output_start

    @classmethod
    def parse(cls, text: str) -> "Arm":
        """Read GATE:LOSS[:ROW_START[:OUTPUT_START]]; SystemExit where the text names no arm."""
        parts = text.split(":")
        if not 2 <= len(parts) <= 4:
            raise SystemExit(f"{text}: an arm is GATE:LOSS[:ROW_START[:OUTPUT_START]]")
        arm = cls(*parts)
        if arm.gate == "control" and arm.loss != "sft":
            raise SystemExit(f"{text}: a control learns by plain cross-entropy (control:sft)")
        return arm

    @property
    def name(self) -> str:
        """The name of the arm's folder."""
        return "-".join((self.gate, self.loss, self.row_start, self.output_start))


def main() -> None:
    """Run the stages in order and print the table."""
    options = parser(__doc__).parse_args()
    if (options.trajectories is None) == (options.corpus is None):
        raise SystemExit("give --trajectories or --corpus, and only one of them")
    claim(options.output, shared_settings(options))
    for stage in (adapt, score, mine, arms, table):
        began = time.perf_counter()
        stage(options)
        print(f"{stage.__name__}: {time.perf_counter() - began:.0f} s", flush=True)


def shared_settings(options: argparse.Namespace) -> dict[str, Any]:
    """The options that all stages and arms of a folder must share, as JSON-ready values."""
    return {name: value for name, value in entry.as_json(options).items() if name not in MAY_CHANGE}


def corpus_of(options: argparse.Namespace) -> lar.Corpus:
    """The corpus of --corpus, or the built one."""
    return lar.Corpus.load(options.corpus or options.output / "corpus")


def teacher_of(options: argparse.Namespace) -> Path:
    """The folder of the adapted teacher."""
    folder: Path = options.teacher or options.output / "teacher"
    return folder


def split(options: argparse.Namespace) -> tuple[lar.Corpus, lar.Corpus]:
    """The corpora of the training tasks and of the held-out tasks."""
    return corpus_of(options).split(HELD_OUT)


def first_attempts(
    trajectories: Iterable[lar.Trajectory], number: int, tasks: int | None
) -> Iterator[lar.Trajectory]:
    """At most `number` trajectories of each of the first `tasks` tasks (None: of all)."""
    seen: Counter[str] = Counter()
    for trajectory in trajectories:
        if tasks is None or trajectory.task in seen or len(seen) < tasks:
            seen[trajectory.task] += 1
            if seen[trajectory.task] <= number:
                yield trajectory


def build(options: argparse.Namespace) -> None:
    """Build the corpus, unless --corpus names one."""
    if options.corpus is None:
        logs = lar.read_trajectories(options.trajectories)
        chosen = first_attempts(logs, options.attempts, options.tasks)
        lar.Corpus.build(chosen, options.model, options.output / "corpus")


def adapt(options: argparse.Namespace, progress: Progress | None = None) -> None:
    """Fine-tune a LoRA on the agent's turns, since another model wrote the logs, and merge it."""
    build(options)
    if teacher_of(options).exists():
        return
    learnt, validation = split(options)[0], None
    if options.validate_steps is not None:
        learnt, validation = learnt.split(VALIDATION, VALIDATION_SEED)
    settings = AdaptOptions(
        learning_rate=1e-3,
        max_steps=options.adapt_steps,
        max_length=options.max_length,
        batch_tokens=options.batch_tokens,
        evaluate_steps=options.validate_steps,
        evaluated_windows=options.evaluated_windows,
        patience=options.patience,
        save_steps=options.validate_steps or 25,
        device=options.device,
    )
    folder = teacher_of(options)
    lar.adapt(learnt, options.model, settings, folder, held_out=validation, progress=progress or steps)


def score(options: argparse.Namespace) -> None:
    """Store the teacher's entropies and likeliest tokens in the corpus, if any arm reads them."""
    if options.live_teacher and all(gate.startswith("none") for gate in options.gates):
        return
    lar.score(
        corpus_of(options),
        teacher_of(options),
        max_length=options.max_length,
        top_k=None if options.live_teacher else TOP_K,
        device=options.device,
        progress=steps,
    )
    print(json.dumps(entropy_quantiles(split(options)[0])))


def mine(options: argparse.Namespace) -> None:
    """Mine a vocabulary at each gate, and print its reduction on the held-out tasks."""
    for gate in options.gates:
        print(gate, json.dumps(saved(options, gate)), flush=True)


def mined(options: argparse.Namespace, gate: str) -> lar.LatentVocabulary:
    """The vocabulary of a gate; mined from the training tasks unless it exists."""
    folder = options.output / "vocabularies" / gate
    if not folder.exists():
        limit, _, weight = gate.partition("@")
        train, _ = split(options)
        found = lar.mine(
            train,
            size=options.size,
            max_entropy=None if limit == "none" else limit,
            min_support=options.min_support,
            prompt_weight=float(weight or 0),
        )
        found.save(folder)
    return lar.LatentVocabulary.load(folder)


def saved(options: argparse.Namespace, gate: str) -> dict[str, Any]:
    """The reduction on the held-out tasks of a gate's vocabulary, as JSON-ready values."""
    _, held_out = split(options)
    found: dict[str, Any] = lar.evaluate({"held out": held_out}, mined(options, gate)).to_dict()
    return found


def chosen_arms(options: argparse.Namespace) -> list[Arm]:
    """The arms of --arms, or all gates by all losses with a control."""
    if options.arms:
        return [Arm.parse(text) for text in options.arms]
    return [Arm("control", "sft")] + [Arm(gate, loss) for gate in options.gates for loss in LOSSES]


def arms(options: argparse.Namespace) -> None:
    """Train each arm that does not exist yet."""
    for arm in chosen_arms(options):
        if arm.gate != "control":
            mined(options, arm.gate)
        began, printed = time.perf_counter(), Printed()
        if train(options, arm, printed):
            course = [line[BITS] for line in course_of(arm_folder(options, arm))]
            seconds = time.perf_counter() - began - printed.start_seconds
            start = f"start of the rows {printed.start_seconds:.0f} s, training {seconds:.0f} s"
            print(f"{arm.name}: {start}, bits per byte {course}", flush=True)


def train(options: argparse.Namespace, arm: Arm, progress: Progress | None = None) -> bool:
    """Train an arm, from its last checkpoint if there is one; False if its folder exists already."""
    folder = arm_folder(options, arm)
    if folder.exists():
        return False
    learnt, held_out = split(options)
    vocabulary = None if arm.gate == "control" else mined(options, arm.gate)
    lar.distill(
        learnt,
        teacher_of(options),
        vocabulary,
        settings_of(options, arm),
        folder,
        held_out=held_out,
        progress=progress or steps,
    )
    return True


def arm_folder(options: argparse.Namespace, arm: Arm) -> Path:
    """The folder of an arm's student."""
    folder: Path = options.output / "arms" / arm.name
    return folder


def log_of(folder: Path, record: str = "distillation.json") -> list[dict[str, Any]]:
    """The log of a finished run, or of its last checkpoint; empty before the first checkpoint."""
    if (folder / record).exists():
        content = json.loads((folder / record).read_text(encoding="utf-8"))
        return list(content["log"])
    states = folder.with_name(f"{folder.name}.checkpoints").glob("checkpoint-*/trainer_state.json")
    logs = [json.loads(state.read_text(encoding="utf-8"))["log_history"] for state in states]
    return list(max(logs, key=len, default=[]))


def course_of(folder: Path, record: str = "distillation.json") -> list[dict[str, Any]]:
    """The evaluations in a run's log, in order."""
    return [line for line in log_of(folder, record) if BITS in line]


def settings_of(options: argparse.Namespace, arm: Arm) -> DistillOptions:
    """The options of an arm; they differ between arms only in the parts of the arm's name."""
    return DistillOptions(
        loss=arm.loss,
        row_start=arm.row_start,
        output_start=arm.output_start,
        control=arm.gate == "control",
        learning_rate=options.learning_rate,
        row_learning_rate=options.row_learning_rate,
        cached_teacher=arm.loss != "sft" and not options.live_teacher,
        max_steps=options.steps,
        max_length=options.max_length,
        batch_tokens=options.batch_tokens,
        evaluate_steps=options.evaluate_steps,
        evaluated_windows=options.evaluated_windows,
        save_steps=options.save_steps,
        device=options.device,
    )


def table(options: argparse.Namespace) -> None:
    """Print for each existing arm its curve, its reduction, and how often it prefers explicit tokens."""
    reductions = {
        gate: saved(options, gate)["reduction"]
        for gate in options.gates
        if (options.output / "vocabularies" / gate).exists()
    }
    records = {}
    print("| arm | reduction | bits a byte, by steps | explicit preferred |\n|---|---|---|---|")
    for folder in sorted((options.output / "arms").iterdir()):
        if not (folder / "distillation.json").exists():
            continue
        record = json.loads((folder / "distillation.json").read_text())
        course = course_of(folder)
        records[folder.name] = {"course": course, "start": record["start"], "options": record["options"]}
        reduction = reductions.get(folder.name.split("-")[0], 0.0)
        explicit = course[-1].get("eval_explicit_preference") if course else None
        cells = [
            folder.name,
            f"{-reduction:.1%}" if reduction else "-",
            ", ".join(f"{line['step']}: {line[BITS]:.3f}" for line in course),
            "" if explicit is None else f"{explicit:.1%}",
        ]
        print(f"| {' | '.join(cells)} |")
    result = {"reductions": reductions, "arms": records, "options": entry.as_json(options)}
    write_json(options.output / "results.json", result)


class Printed(RowStart):
    """The progress of an arm, printed, with the seconds of the start of its rows apart."""

    def __call__(self, done: int, total: int | None) -> None:
        """Print progress 20 times."""
        steps(done, total)


def steps(done: int, total: int | None) -> None:
    """Print progress 20 times."""
    if total and done * 20 // total != (done - 1) * 20 // total:
        print(f"  {done} of {total}", flush=True)


if __name__ == "__main__":
    entry.run(main)
