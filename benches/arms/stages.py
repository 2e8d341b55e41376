"""The stages of an arm, each stored in a folder: a stage whose result exists is skipped.

OUTPUT/WORLD/settings.json                the settings that all arms share
OUTPUT/WORLD/seed-0/trajectories.parquet  the expert's trajectories
OUTPUT/WORLD/seed-0/corpus/, model/       the scored corpus; the base model, which is the teacher
OUTPUT/WORLD/seed-0/vocabularies/p75/     the vocabulary of each gate or baseline
OUTPUT/WORLD/seed-0/arms/NAME.json        the figures of each measured arm
"""

from functools import cached_property
from pathlib import Path
from typing import Any

import lar
from benches.arms.names import BASE, MAKERS, ArmName
from benches.arms.worlds import Job, World
from lar.demo.base_model import train_base_model
from lar.demo.base_tokenizer import train_tokenizer
from lar.demo.online import run_online
from lar.distillation import Student
from lar.distillation.training.bits_per_byte import bits_per_byte
from lar.generation.sampling import Sampling
from lar.mining.options import MiningKeywords
from lar.models.causal_lm import load_model
from lar.utils.files import atomic_folder, write_json

FEW = 100  # held-out demonstrations on which bits per byte are measured


class Seed:
    """One seed of one world. Each stage runs when its result is first read."""

    def __init__(self, world: World, seed: int, output: Path) -> None:
        self.world = world
        self.settings = world.settings
        self.seed = seed
        self.folder = output / world.name / f"seed-{seed}"

    def result_file(self, arm: ArmName) -> Path:
        """The file of the arm's figures."""
        return self.folder / "arms" / f"{arm.text}.json"

    def measure(self, arm: ArmName) -> dict[str, Any]:
        """Train the arm, run it on the held-out tasks, write its figures and return them."""
        student = self._student(arm)
        bits = bits_per_byte(self.demonstrations, student, max_length=self.settings.distillation.max_length)
        sessions = [job.session() for job in self.held_out]
        online = run_online(student, sessions, Sampling(max_units=self.settings.max_units))
        record = {
            "arm": arm.text,
            "seed": self.seed,
            "solved": [int(solved) for solved in online.solved],
            "units": online.units,
            "base_tokens": online.base_tokens,
            "held_out": bits.to_dict(),
            "steps": student.record.get("steps", 0),
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
        student: Student = lar.distill(self.learnt, model, vocabulary, options)
        return student

    def vocabulary(self, arm: ArmName) -> lar.LatentVocabulary:
        """The latents of the arm."""
        folder = self.folder / "vocabularies" / arm.vocabulary
        if not folder.exists():
            self._made(arm).save(folder)
        return lar.LatentVocabulary.load(folder)

    def _made(self, arm: ArmName) -> lar.LatentVocabulary:
        if arm.latents in MAKERS:
            return MAKERS[arm.latents](self.learnt, self.settings.latents)
        corpus = self.learnt
        if not arm.needs_scores:
            trajectories = lar.read_trajectories(self.folder / "trajectories.parquet")
            corpus = self._share_of(lar.Corpus.build(trajectories, corpus.tokenizer))
        common: MiningKeywords = {"size": self.settings.latents, "min_support": self.settings.min_support}
        return lar.mine(corpus, **{**common, **arm.mining})

    @property
    def learnt(self) -> lar.Corpus:
        """What arms are mined and distilled from: the corpus, or the chosen share of its tasks."""
        return self._share_of(self.corpus)

    def _share_of(self, corpus: lar.Corpus) -> lar.Corpus:
        share = self.settings.learnt
        return corpus if share == 1 else corpus.split(1 - share, self.seed)[0]

    @cached_property
    def corpus(self) -> lar.Corpus:
        """The corpus of the expert's trajectories, scored by the base model."""
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
        """The tasks that the expert demonstrates."""
        return self.world.training(self.settings.training_tasks, self.seed)

    @cached_property
    def held_out(self) -> list[Job]:
        """The tasks that every arm of this seed works on."""
        return self.world.held_out(self.settings.episodes, self.seed, self.training)

    @cached_property
    def demonstrations(self) -> lar.Corpus:
        """The expert's trajectories of some held-out tasks."""
        shown = [job.demonstration() for job in self.held_out[:FEW]]
        return lar.Corpus.build(shown, self.corpus.tokenizer)
