"""The stages of an arm. Each is stored, and skipped if it exists, so that a stopped run continues.

OUTPUT/WORLD/settings.json         the settings that all arms share
OUTPUT/WORLD/corpora/DATA/         the runs that arms learn from, and those of the test tasks as held out
OUTPUT/WORLD/teacher/              the base, adapted to the runs
OUTPUT/WORLD/vocabularies/ARM/     an arm's latents
OUTPUT/WORLD/students/ARM/         an arm's student
OUTPUT/WORLD/results/ARM.json      an arm's figures, with one entry for each task
OUTPUT/WORLD/episodes/ARM.parquet  an arm's episodes, as trajectories
OUTPUT/WORLD/episodes/ARM.jsonl    the same while it works, and its figures (`journal.py`)

The last three are of the split `test`; those of another are in results_SPLIT/ and episodes_SPLIT/.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import lar
from benches.agents.agent import Agent
from benches.agents.arms import ARMS, DATA, Arm
from benches.agents.episodes import Result, run_batch
from benches.agents.journal import Journal
from benches.agents.worlds.world import Runs, Split, World
from benches.claim import claim
from lar.distillation import AdaptOptions, DistillOptions, Student
from lar.distillation.training.bits_per_byte import bits_per_byte
from lar.generation.sampling import Sampling
from lar.models.causal_lm import load_model
from lar.trajectories import Trajectory
from lar.utils.files import write_json
from lar.utils.progress import Progress, silent


@dataclass(frozen=True)
class Settings:
    """What all arms of a world share.

    model: the base's folder. runs: at most so many are learnt from (None: all). tasks: of the split.
    adapt, distill: of the teacher and of every arm; adapt is None where the model is the teacher as it is.
    sampling: of a turn. batch: episodes at once. scored_tokens: of the sample of runs whose entropies are the
    gates' (see `lar.score`); None: all runs are scored.
    """

    model: str
    runs: int | None
    tasks: int
    batch: int
    adapt: AdaptOptions | None
    distill: DistillOptions
    sampling: Sampling = field(default_factory=lambda: Sampling(max_units=256))
    scored_tokens: int | None = None


class Bench:
    """One world with one base model, measured on the tasks of `split`; `progress` counts optimizer steps.

    OptionError where the world's folder in `output` holds arms of other settings.
    """

    def __init__(
        self,
        world: World,
        settings: Settings,
        output: Path,
        progress: Progress = silent,
        split: Split = "test",
    ) -> None:
        self.world = world
        self.settings = settings
        self.split = split
        self.folder = output / world.name
        self._progress = progress
        claim(self.folder, self.settings_record)

    @property
    def settings_record(self) -> dict[str, Any]:
        """The settings as JSON-ready values."""
        values: dict[str, Any] = json.loads(json.dumps(asdict(self.settings)))
        return values

    def record(self, name: str) -> dict[str, Any] | None:
        """An arm's figures; None where it has not been measured."""
        file = self._file("results", name, ".json")
        return json.loads(file.read_text()) if file.exists() else None

    def records(self) -> dict[str, dict[str, Any]]:
        """The figures of all measured arms: those of `ARMS` in their order, then the others."""
        files = sorted(self._of_split("results").glob("*.json"))
        found = {record["arm"]: record for record in (json.loads(file.read_text()) for file in files)}
        ordered = [name for name in ARMS if name in found] + [name for name in found if name not in ARMS]
        return {name: found[name] for name in ordered}

    def measure(self, name: str, arm: Arm) -> dict[str, Any]:
        """An arm's figures; it is trained and works on the tasks unless they exist."""
        if (known := self.record(name)) is not None:
            return known
        student = self.student(name, arm)
        about = {
            "data": arm.data,
            "latents": len(student.vocabulary),
            "training": student.record,
            "bits_per_byte": self._bits(arm, student),
        }
        return self.measure_agent(name, arm.agent(name, student, self.settings.sampling), about)

    def measure_agent(self, name: str, agent: Agent, about: dict[str, Any] | None = None) -> dict[str, Any]:
        """The figures of any agent on the tasks; `about` is kept with them."""
        if (known := self.record(name)) is not None:
            return known
        journal = Journal(self._file("episodes", name, ".jsonl"))
        results = self._worked(name, agent, journal)
        absent = {"data": None, "latents": None, "training": None, "bits_per_byte": None}
        found = {"arm": name, **absent, **(about or {}), "tasks": [result.to_dict() for result in results]}
        self._write_episodes(name, [result.trajectory(self.world, agent) for result in results])
        write_json(self._file("results", name, ".json"), found)
        journal.remove()
        return found

    def _worked(self, name: str, agent: Agent, journal: Journal) -> list[Result]:
        """The agent's results on all tasks; those in the journal are taken from it."""
        tasks = self.world.tasks(self.split, self.settings.tasks)
        results = journal.results()
        while len(results) < len(tasks):
            batch = tasks[len(results) : len(results) + self.settings.batch]
            ended = run_batch(self.world, batch, agent)
            journal.append(ended)
            results += ended
            print(f"{name}: {len(results)} of {len(tasks)} tasks, {_solved(results)} solved", flush=True)
        return results

    def student(self, name: str, arm: Arm) -> Student:
        """An arm's student."""
        if arm.student is not None:
            return self.student(arm.student, ARMS[arm.student])
        device = self.settings.distill.device
        if not arm.is_trained:
            return Student.plain(load_model(self.teacher, device=device), self._tokenizer)
        folder = self.folder / "students" / name
        if not folder.exists():
            vocabulary, options = self.vocabulary(name, arm), arm.distill_options(self.settings.distill)
            lar.distill(
                self.corpus(arm.data), self.teacher, vocabulary, options, folder, progress=self._progress
            )
        return Student.load(folder, self.teacher, device=device)

    def vocabulary(self, name: str, arm: Arm) -> lar.LatentVocabulary | None:
        """An arm's latents, from the runs that it learns from."""
        if arm.latents is None:
            return None
        folder = self.folder / "vocabularies" / name
        if not folder.exists():
            corpus = self._scored(arm.data) if arm.latents.need_scores else self.corpus(arm.data)
            arm.latents.mined(corpus).save(folder)
        return lar.LatentVocabulary.load(folder)

    def corpus(self, data: str) -> lar.Corpus:
        """The runs that arms learn from, in one of their forms."""
        return self._built(data, data)

    @cached_property
    def teacher(self) -> Path:
        """The base, adapted to the runs as they are."""
        base, options, folder = self.settings.model, self.settings.adapt, self.folder / "teacher"
        if options is None:
            return Path(base)
        if not folder.exists():
            lar.adapt(self.corpus("runs"), base, options, folder, progress=self._progress)
        return folder

    @cached_property
    def _tokenizer(self) -> lar.Tokenizer:
        return lar.Tokenizer.load(self.settings.model)

    def _scored(self, data: str) -> lar.Corpus:
        """The runs, scored by the base, in a folder of their own: other gates need them without scores."""
        corpus = self._built(data, f"{data}-scored")
        common = self.settings.distill
        return lar.score(
            corpus,
            self.teacher,
            max_length=common.max_length,
            most_tokens=self.settings.scored_tokens,
            dtype=common.dtype,
            device=common.device,
            progress=self._progress,
        )

    def _built(self, data: str, name: str) -> lar.Corpus:
        folder = self.folder / "corpora" / name
        if not folder.exists():
            lar.Corpus.build(self._runs(data, "training"), self._tokenizer, folder)
        return lar.Corpus.load(folder)

    def _bits(self, arm: Arm, student: Student) -> dict[str, Any] | None:
        """Bits per byte of the runs of the split's tasks; None where these have none."""
        runs = self._runs(arm.data, self.split)
        if not runs:
            return None
        corpus = lar.Corpus.build(runs, self._tokenizer)
        return bits_per_byte(corpus, student, max_length=self.settings.distill.max_length).to_dict()

    def _runs(self, data: str, of: Runs) -> list[Trajectory]:
        rewrite = DATA[data]
        most = self.settings.runs if of == "training" else None
        runs = list(self.world.runs(of))[:most]
        return runs if rewrite is None else list(rewrite(runs, self.teacher, self.settings.distill.device))

    def _file(self, kind: str, name: str, ending: str) -> Path:
        # A model behind a server may have a name with a slash, such as Qwen/Qwen3-8B.
        return self._of_split(kind) / f"{name.replace('/', '--')}{ending}"

    def _of_split(self, kind: str) -> Path:
        return self.folder / (kind if self.split == "test" else f"{kind}_{self.split}")

    def _write_episodes(self, name: str, episodes: Sequence[Trajectory]) -> None:
        file = self._file("episodes", name, ".parquet")
        file.parent.mkdir(parents=True, exist_ok=True)
        lar.write_trajectories(episodes, file)


def results_of(record: dict[str, Any]) -> list[Result]:
    """The results of an arm's tasks, without their messages."""
    return [Result(**task) for task in record["tasks"]]


def _solved(results: Sequence[Result]) -> int:
    return sum(result.success for result in results)
