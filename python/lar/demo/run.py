"""Runs all stages of the demo in one folder, and then its three agents on held-out tickets."""

import shlex
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import lar
from lar.demo.base_model import BaseModelOptions, train_base_model
from lar.demo.base_tokenizer import train_tokenizer
from lar.demo.expert import demonstrations
from lar.demo.online import Arm, run_online
from lar.demo.result import DemoResult, Stopwatch, useful_latents
from lar.demo.session import TicketSession
from lar.demo.tasks import Task, held_out_tasks, training_tasks
from lar.distillation import DistillOptions, Student
from lar.errors import OptionError
from lar.evaluation.reporting.evidence import ArmsFile, Evidence
from lar.mining.no_latents import check_latents
from lar.models.causal_lm import load_model
from lar.utils.files import write_json
from lar.utils.progress import Progress
from lar.utils.result_files import DEMO_FILE
from lar.utils.words import counted

REPORT_NAME = "report.html"
# Called with a stage's name and unit of work; returns a context whose value takes the stage's progress.
Stage = Callable[[str, str], AbstractContextManager[Progress]]


@dataclass(frozen=True)
class DemoOptions:
    """The size of the demo. The defaults were chosen by measurements (docs/results/success.md).

    tasks: held-out tickets for each agent. training_tasks: tickets that the expert demonstrates. latents,
    max_entropy, min_support: see `lar.mine`. distillation: options of the student and of its control.
    """

    tasks: int = 100
    training_tasks: int = 1500
    seed: int = 0
    latents: int = 128
    max_entropy: float | str | None = None
    min_support: int = 20
    base_model: BaseModelOptions = field(default_factory=BaseModelOptions)
    distillation: DistillOptions = field(
        default_factory=lambda: DistillOptions(
            max_steps=400,
            max_length=512,
            batch_tokens=1024,
            learning_rate=1e-3,
            row_learning_rate=1e-2,
            fitted_batches=20,
            device="cpu",
            save_steps=10_000,
        )
    )

    def __post_init__(self) -> None:
        for name in ("tasks", "training_tasks"):
            if getattr(self, name) < 1:
                raise OptionError(f"{name} must be at least 1, not {getattr(self, name)}")
        if self.training_tasks < self.min_support:
            raise OptionError(
                f"no latent can occur in {counted(self.min_support, 'task')} (min_support), since there "
                f"{'is' if self.training_tasks == 1 else 'are'} {self.training_tasks} (training_tasks)"
            )
        if not 0 <= self.seed < 2**32:  # the range of numpy's seeds
            raise OptionError(f"seed must be from 0 to {2**32 - 1}, not {self.seed}")


def run_demo(folder: Path, options: DemoOptions, stage: Stage) -> DemoResult:
    """Run all stages in `folder` and return the result.

    `folder` gets trajectories.parquet, model/, corpus/, vocabulary/, student/, control/ and report.html, each
    as the command of the same name writes it, and demo.json. It must be missing or empty.

    Raises:
        OptionError: `folder` is not empty, or no segment of the trajectories makes a latent.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise OptionError(
            f"{folder}: there is something already; choose another folder with -o, or remove it"
        )
    watch = Stopwatch()
    tasks = training_tasks(options.training_tasks, options.seed)
    held_out = held_out_tasks(options.tasks, options.seed, tasks)
    with watch.time("corpus"):
        corpus = _corpus(folder, tasks, stage)
    with watch.time("base model"), stage("training the base model", "steps") as progress:
        train_base_model(corpus, folder / "model", options.base_model, seed=options.seed, progress=progress)
    with watch.time("score"), stage("scoring", "tokens") as progress:
        corpus = lar.score(corpus, folder / "model", device="cpu", progress=progress)
    with watch.time("mine"), stage("mining", "tokens") as progress:
        vocabulary = _mine(corpus, folder, options, progress)
    base = Student.plain(load_model(folder / "model", device="cpu"), corpus.tokenizer)
    with watch.time("distil the control"):
        control = _distil(corpus, None, folder, options, stage)
    with watch.time("distil the student"):
        student = _distil(corpus, vocabulary, folder, options, stage)
    arms: dict[str, Arm] = {}
    for name, agent in {"base": base, "control": control, "student": student}.items():
        with watch.time(f"{name} at work"), stage(f"the {name} at work", "tickets") as progress:
            arms[name] = run_online(agent, [TicketSession(task) for task in held_out], progress=progress)
    result = DemoResult(folder, arms, useful_latents(vocabulary, arms["student"].uses), watch.seconds)
    _write_record(folder / DEMO_FILE, result, options)
    with stage("writing the report", "tokens") as progress:
        lar.report(
            corpus,
            folder / REPORT_NAME,
            vocabulary=vocabulary,
            evidence=Evidence(arms=ArmsFile.model_validate(result.to_dict())),
            student=folder / "student",
            command=shlex.join(["lar", "report", str(folder), "-o", str(folder / REPORT_NAME)]),
            progress=progress,
        )
    return result


def _corpus(folder: Path, tasks: list[Task], stage: Stage) -> "lar.Corpus":
    """Write the expert's trajectories, train a tokenizer on them, and build the corpus."""
    with stage("the expert at work", "tickets") as progress:
        trajectories = list(demonstrations(tasks, progress=progress))
        lar.write_trajectories(trajectories, folder / "trajectories.parquet")
    tokenizer = train_tokenizer(trajectories)
    with stage("building the corpus", "trajectories") as progress:
        logs = lar.read_trajectories(folder / "trajectories.parquet")
        return lar.Corpus.build(logs, tokenizer, folder / "corpus", progress=progress)


def _mine(
    corpus: "lar.Corpus", folder: Path, options: DemoOptions, progress: Progress
) -> "lar.LatentVocabulary":
    vocabulary = lar.mine(
        corpus,
        size=options.latents,
        max_entropy=options.max_entropy,
        min_support=options.min_support,
        progress=progress,
    )
    check_latents(vocabulary)
    vocabulary.save(folder / "vocabulary")
    return vocabulary


def _distil(
    corpus: "lar.Corpus",
    vocabulary: "lar.LatentVocabulary | None",
    folder: Path,
    options: DemoOptions,
    stage: Stage,
) -> Student:
    """Distil the student; without a vocabulary its control, on the same data for the same steps."""
    name = "control" if vocabulary is None else "student"
    chosen = replace(options.distillation, control=vocabulary is None, seed=options.seed)
    with stage(f"distilling the {name}", "steps") as progress:
        student: Student = lar.distill(
            corpus, folder / "model", vocabulary, chosen, folder / name, progress=progress
        )
    return student


def _write_record(file: Path, result: DemoResult, options: DemoOptions) -> None:
    write_json(file, {**result.to_dict(), "options": asdict(options)})
