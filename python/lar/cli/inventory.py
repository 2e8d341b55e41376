"""What lies in a folder, from trajectories to an export, and which results belong together."""

import re
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from lar.cli.next_step import is_model
from lar.cli.pairs import are_a_pair
from lar.cli.reading import is_trajectories, number_of_trajectories
from lar.cli.run import STAGES, again
from lar.corpus import Corpus
from lar.corpus.manifest import Manifest
from lar.corpus.scores import TeacherRecord, are_scored
from lar.corpus.selection import Split
from lar.distillation.files import VOCABULARY_FOLDER
from lar.errors import LarError
from lar.serving.export.serve_flags import lora_flags
from lar.utils.files import read_json
from lar.utils.paths import is_file
from lar.utils.result_files import (
    ADAPTATION_FILE,
    CORPUS_FILE,
    DEMO_FILE,
    EXPORT_FILE,
    RUN_FILE,
    STUDENT_FILE,
    SWEEP_FILE,
    SWEEP_RESULT_FILE,
    VOCABULARY_FILE,
)
from lar.utils.task_digests import TRAINED_FILE, read_digests, task_digest
from lar.vocabulary.digest import latents_digest
from lar.vocabulary.storage import TASKS_NAME

COMPLETE, STOPPED, BROKEN = "complete", "stopped", "broken"
COUNTS = ("trajectories", "tokens", "latents", "steps", "tasks", "students")  # facts that are whole numbers
_CHECKPOINTS = ".checkpoints"
_EXPORTED_VOCABULARY = "latent_vocabulary"


@dataclass
class Found:
    """A result in a folder.

    facts: figures and options, by name. keys: fingerprints of the tokenizer and of the teacher, and a digest
    of the latents. tasks: digests of the tasks that it was made of. task_names: of a corpus their names, by
    which a split holds them out. goes_with: the paths of the other results that it was made of, or with.
    """

    path: Path
    kind: str
    state: str = COMPLETE
    facts: dict[str, Any] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)
    tasks: frozenset[str] = frozenset()
    task_names: frozenset[str] = frozenset()
    goes_with: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """The result as JSON-ready values."""
        values = {**asdict(self), "path": str(self.path), "tasks": len(self.tasks)}
        del values["task_names"]
        return values


def inventory(folder: Path) -> list[Found]:
    """What lies in a folder, and what the folder itself is, in the order of the pipeline."""
    shown = [entry for entry in folder.iterdir() if not entry.name.startswith(".")]
    entries = [folder, *sorted(shown, key=_by_numbers)]
    found = [result for entry in entries if (result := _recognized(entry)) is not None]
    found.sort(key=lambda result: _ORDER.index(result.kind))
    for result in found:
        result.goes_with = [str(other.path) for other in found if _goes_with(result, other)]
    return found


def leftovers(folder: Path) -> list[Path]:
    """Temporary files of processes that were killed; none of a process that still runs is told apart."""
    return sorted(folder.glob(".*.partial"))


def finished(folder: Path) -> dict[Path, Path]:
    """Finished results that could not be moved to their place (see `atomic_folder`), each with that place."""
    found = sorted(folder.glob(".*.finished"))
    return {path: path.with_name(path.name[1:].rsplit(".", 2)[0]) for path in found}


def _by_numbers(path: Path) -> tuple[list[str | int], str]:
    """Sorts vocabulary-9 before vocabulary-10: the last of a kind is the newest, by the names of `beside`."""
    parts = re.split("([0-9]+)", path.name)
    return [int(part) if index % 2 else part for index, part in enumerate(parts)], path.name


def is_made_of(result: Found, corpus: Found) -> bool:
    """Whether a result has learnt the tasks of `corpus`: all those that its split leaves for training.

    It may have learnt more: of the corpus of an earlier result that it began with, or with its teacher. A
    result without a split may be of a part of the corpus.
    """
    split = split_of(result)
    if (split is None or not result.tasks) and result.tasks <= corpus.tasks:
        return True
    split = split or split_of(corpus)
    names = [name for name in corpus.task_names if split is None or not split.holds_out(name)]
    return bool(names) and result.tasks.issuperset(map(task_digest, names))


def _goes_with(result: Found, other: Found) -> bool:
    """Whether `result` was made of or with `other`: their keys are equal, and it has learnt its tasks."""
    if other.kind not in _PARTNERS.get(result.kind, ()):
        return False
    shared = result.keys.keys() & other.keys.keys()
    same = bool(shared) and all(result.keys[name] == other.keys[name] for name in shared)
    if other.kind == "vocabulary":  # its latents decide: a student may learn other tasks
        return same
    if (result.kind, other.kind) == ("control", "student"):
        return same and are_a_pair(result.path, other.path)
    return same and (is_made_of(result, other) if other.kind == "corpus" else result.tasks <= other.tasks)


def _recognized(entry: Path) -> Found | None:
    """What one entry of a folder is; None for what no command has written."""
    for kind, (is_one, read) in _KINDS.items():
        if is_one(entry):
            found = Found(entry, kind)
            try:
                read(found)
                _check(found.facts)
            except (LarError, OSError, ValueError, KeyError, TypeError, AttributeError) as error:
                mark_broken(found, error)
            return found
    return None


def mark_broken(found: Found, error: Exception) -> None:
    """Say of a result that it cannot be read, and why."""
    found.state, found.facts = BROKEN, {"fault": " ".join(str(error).split())}


def _check(facts: dict[str, Any]) -> None:
    """Raise ValueError for a fact that is of another type than commands write."""
    Split.of_json(facts.get("split"))
    for name in COUNTS:
        if not isinstance(facts.get(name), int | None):
            raise ValueError(f"{name}: {facts[name]!r} is no whole number")
    if not isinstance(facts.get("teacher"), str | dict | None):
        raise ValueError(f"teacher: {facts['teacher']!r} is no folder")


def _read_run(found: Found) -> None:
    again(found.path)  # raises where the record is broken
    found.facts["done"] = [name for name in STAGES if (found.path / f"{name}.json").is_file()]


def _read_trajectories(found: Found) -> None:
    found.facts["trajectories"] = number_of_trajectories([found.path])


def _read_corpus(found: Found) -> None:
    manifest = Manifest.read(found.path)
    found.state = COMPLETE if manifest.complete else STOPPED
    found.facts |= {
        "trajectories": sum(part.trajectories for part in manifest.parts),
        "tokens": sum(part.tokens for part in manifest.parts),
        "split": manifest.split and asdict(manifest.split),
        "format_version": manifest.format_version,
    }
    if (teacher := TeacherRecord.read(found.path)) is not None:
        done = sum(are_scored(found.path / part.file, teacher.share) for part in manifest.parts)
        whole = manifest.complete and done == len(manifest.parts)
        found.facts["teacher"] = {**asdict(teacher), "state": COMPLETE if whole else STOPPED}
        found.keys["model"] = teacher.fingerprint
    found.keys["tokenizer"] = manifest.tokenizer_fingerprint
    if manifest.complete:
        found.task_names = frozenset(Corpus.load(found.path).tasks)
        if teacher is not None:
            found.facts["teacher"]["tasks"] = sum(map(teacher.has_scored, found.task_names))
        found.tasks = frozenset(map(task_digest, found.task_names))


def _read_vocabulary(found: Found) -> None:
    content = read_json(found.path / VOCABULARY_FILE)
    mining = content["mining"]
    names = ("size", "max_entropy", "max_entropy_nats", "prompt_weight", "gates", "split", "tasks")
    options = {name: mining.get(name) for name in names if not isinstance(mining.get(name), list)}
    found.facts |= {"latents": len(content["latents"]), **options}
    found.facts["format_version"] = content["format_version"]
    found.keys |= _latents_of(content)
    found.tasks = read_digests(found.path / TASKS_NAME)


def _read_student(found: Found) -> None:
    record = read_json(found.path / STUDENT_FILE)
    found.kind = "control" if record["options"]["control"] else "student"
    found.keys |= _latents_of(read_json(found.path / VOCABULARY_FOLDER / VOCABULARY_FILE))
    found.facts |= {name: record.get(name) for name in ("steps", "split", "tasks", "options")}
    found.keys["model"] = record["base_fingerprint"]
    found.facts["teacher"] = read_json(found.path / "adapter_config.json").get("base_model_name_or_path")
    found.tasks = read_digests(found.path / TRAINED_FILE)


def _read_adapted(found: Found) -> None:
    record = read_json(found.path / ADAPTATION_FILE)
    found.facts |= {name: record.get(name) for name in ("steps", "split", "tasks", "merged", "options")}
    found.tasks = read_digests(found.path / TRAINED_FILE)


def _read_export(found: Found) -> None:
    record = read_json(found.path / EXPORT_FILE)
    found.facts |= {name: record.get(name) for name in ("latents", "form", "dtype", "split")}
    found.facts["gguf"] = (found.path / "model.gguf").is_file()
    if found.facts["form"] == "lora":
        lora_flags(found.path, found.path)  # raises where the LoRA's configuration is broken
    found.keys |= _latents_of(read_json(found.path / _EXPORTED_VOCABULARY / VOCABULARY_FILE))
    found.tasks = read_digests(found.path / TRAINED_FILE)


def _read_model(found: Found) -> None:
    found.facts["architecture"] = (read_json(found.path / "config.json").get("architectures") or [None])[0]


def _read_demo(found: Found) -> None:
    record = read_json(found.path / DEMO_FILE)
    found.facts |= {name: record.get(name) for name in ("tasks", "reduction", "success_change")}


def _read_sweep(found: Found) -> None:
    """A sweep has its result when it ends: its students, and the setting to take if there is one."""
    settings = read_json(found.path / SWEEP_FILE)
    found.facts |= {"teacher": settings["model"], "split": settings["split"]}
    if not is_file(found.path / SWEEP_RESULT_FILE):
        found.state = STOPPED
        return
    result = read_json(found.path / SWEEP_RESULT_FILE)
    found.facts["students"] = len(result["points"])
    found.facts |= {name: result.get(name) for name in ("measure", "tolerance", "recommended")}


def _read_checkpoints(found: Found) -> None:
    """Checkpoints are removed when their run ends: these are of one that was stopped, or still runs."""
    steps = [int(path.name.split("-")[1]) for path in found.path.glob("checkpoint-*")]
    found.state = STOPPED
    found.facts["steps"] = max(steps, default=0)


def _latents_of(content: dict[str, Any]) -> dict[str, str]:
    """The tokenizer of a vocabulary and a digest of its latents, where it has any."""
    keys = {"tokenizer": content["tokenizer_fingerprint"]}
    if tokens := [entry["tokens"] for entry in content["latents"]]:
        keys["latents"] = latents_digest(tokens)
    return keys


def split_of(found: Found) -> Split | None:
    """The split that a result was made with."""
    return Split.of_json(found.facts.get("split"))


def _has(name: str) -> Callable[[Path], bool]:
    return lambda entry: is_file(entry / name)


# Kind -> (whether an entry is one, what reads it). A student's folder is called a control when it is read.
_KINDS: dict[str, tuple[Callable[[Path], bool], Callable[[Found], None]]] = {
    "demo": (_has(DEMO_FILE), _read_demo),
    "run": (_has(RUN_FILE), _read_run),
    "sweep": (_has(SWEEP_FILE), _read_sweep),
    "trajectories": (is_trajectories, _read_trajectories),
    "corpus": (_has(CORPUS_FILE), _read_corpus),
    "export": (_has(EXPORT_FILE), _read_export),
    "student": (_has(STUDENT_FILE), _read_student),
    "adapted model": (_has(ADAPTATION_FILE), _read_adapted),
    "vocabulary": (_has(VOCABULARY_FILE), _read_vocabulary),
    "model": (is_model, _read_model),
    "checkpoints": (lambda entry: entry.is_dir() and entry.name.endswith(_CHECKPOINTS), _read_checkpoints),
}
_ORDER = [
    *("demo", "run", "trajectories", "model", "adapted model", "corpus", "vocabulary", "checkpoints"),
    *("student", "control", "sweep", "export"),
]
_PARTNERS = {
    "vocabulary": ("corpus",),
    "student": ("corpus", "vocabulary"),
    "control": ("corpus", "student"),
    "export": ("vocabulary", "student"),
}
