"""The stages that an arm goes through, each kept in a folder: what is there is not made again.

OUTPUT/WORLD/settings.json               what is the same for all arms
OUTPUT/WORLD/seed-0/trajectories.parquet the expert's
OUTPUT/WORLD/seed-0/corpus/, model/      tokenized and scored; the base model, which is the teacher
OUTPUT/WORLD/seed-0/vocabularies/p70/    by gate
OUTPUT/WORLD/seed-0/arms/NAME.json       one for each arm that has been measured
"""

import json
import time
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any

import lar
from benches.arms.names import BASE, UNGATED, ArmName
from benches.arms.worlds import Job, World
from lar.demo.base_model import train_base_model
from lar.demo.base_tokenizer import train_tokenizer
from lar.demo.online import run_online
from lar.distillation import Student
from lar.distillation.training.bits_per_byte import bits_per_byte
from lar.generation.sampling import Sampling
from lar.models.causal_lm import load_model
from lar.scoring.score import entropy_quantiles
from lar.utils.files import atomic_file, atomic_folder

NAMED = ("loss", "row_start", "control", "seed")  # options that an arm's name and seed decide
FEW = 100  # held-out demonstrations that bits per byte are taken on


class Seed:
    """One seed of one world: its stages are made when they are first asked for."""

    def __init__(self, world: World, seed: int, output: Path) -> None:
        self.world = world
        self.settings = world.settings
        self.seed = seed
        self.folder = output / world.name / f"seed-{seed}"

    def result_file(self, arm: ArmName) -> Path:
        """Where the arm's figures are, once it has been measured."""
        return self.folder / "arms" / f"{arm.text}.json"

    def measure(self, arm: ArmName) -> dict[str, Any]:
        """Train the arm, let it work on the held-out tasks, and write its figures.

        Raises:
            OptionError: this version of the package knows no such arm.
        """
        began = time.perf_counter()
        student = self._student(arm)
        trained = time.perf_counter()
        bits = bits_per_byte(student, self.demonstrations, max_length=self.settings.distillation.max_length)
        sessions = [job.session() for job in self.held_out]
        online = run_online(student, sessions, Sampling(max_units=self.settings.max_units))
        record = {
            "arm": arm.text,
            "seed": self.seed,
            "solved": [int(solved) for solved in online.solved],
            "turns": online.turns,
            "units": online.units,
            "base_tokens": online.base_tokens,
            "latents_used": len(online.uses),
            "held_out": bits.to_dict(),
            "steps": student.record.get("steps", 0),
            "seconds": {"training": round(trained - began, 1), "online": round(online.seconds, 1)},
            "options": student.record.get("options"),
            "log": student.record.get("log"),
        }
        write_json(self.result_file(arm), record)
        return record

    def _student(self, arm: ArmName) -> Student:
        model = load_model(self.teacher, device="cpu")
        if arm.text == BASE:
            return Student.plain(model, self.corpus.tokenizer)
        options = arm.options(self.settings.distillation, self.seed)
        vocabulary = None if options.control else self.vocabulary(arm)
        student: Student = lar.distill(model, self.corpus, vocabulary, options)
        return student

    def vocabulary(self, arm: ArmName) -> lar.LatentVocabulary:
        """The vocabulary of the arm's gate."""
        folder = self.folder / "vocabularies" / str(arm.gate or UNGATED)
        if not folder.exists():
            mined = lar.mine(
                self.corpus,
                size=self.settings.latents,
                max_entropy=arm.max_entropy,
                min_support=self.settings.min_support,
            )
            mined.save(folder)
        return lar.LatentVocabulary.load(folder)

    @cached_property
    def corpus(self) -> lar.Corpus:
        """The expert's trajectories, tokenized and scored by the base model."""
        file = self.folder / "trajectories.parquet"
        if not file.exists():
            lar.write_trajectories((job.demonstration() for job in self.training), file)
        trajectories = list(lar.read_trajectories(file))
        tokenizer = train_tokenizer(trajectories)
        corpus = lar.Corpus.build(trajectories, tokenizer, self.folder / "corpus")
        if not (self.folder / "model").exists():
            with atomic_folder(self.folder / "model", holds=None) as temporary:
                train_base_model(corpus, temporary, self.settings.base_model, seed=self.seed)
        return lar.score(corpus, self.folder / "model", device="cpu")

    @property
    def teacher(self) -> Path:
        """The base model's folder."""
        _ = self.corpus
        return self.folder / "model"

    @cached_property
    def training(self) -> list[Job]:
        """The tasks that the expert shows."""
        return self.world.training(self.settings.training_tasks, self.seed)

    @cached_property
    def held_out(self) -> list[Job]:
        """The tasks that every arm of this seed works on."""
        return self.world.held_out(self.settings.episodes, self.seed, self.training)

    @cached_property
    def demonstrations(self) -> lar.Corpus:
        """What the expert does with some of the held-out tasks."""
        shown = [job.demonstration() for job in self.held_out[:FEW]]
        return lar.Corpus.build(shown, self.corpus.tokenizer)

    def entropies(self) -> dict[str, Any]:
        """The distribution that gates are chosen by, in nats."""
        return entropy_quantiles(self.corpus)


def claim(world: World, output: Path) -> None:
    """Write down what all arms of the world share; SystemExit where `output` holds arms of other settings.

    What an arm's name says may differ, and so may options that one of the two versions does not know.
    """
    file = output / world.name / "settings.json"
    settings = json.loads(json.dumps(asdict(world.settings)))
    if not file.exists():
        write_json(file, settings)
        return
    found, wanted = _flat(json.loads(file.read_text())), _flat(settings)
    different = [name for name in found.keys() & wanted.keys() if found[name] != wanted[name]]
    if different := sorted(set(different) - {f"distillation.{name}" for name in NAMED}):
        raise SystemExit(f"{file}: arms of other {', '.join(different)}; choose another folder with -o")


def _flat(settings: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings as one level: {"distillation.max_steps": 100}."""
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": value}
    return flat


def write_json(file: Path, content: dict[str, Any]) -> None:
    """Write a file of JSON that is whole or not there."""
    with atomic_file(file) as temporary:
        temporary.write_text(json.dumps(content, indent=1) + "\n")
