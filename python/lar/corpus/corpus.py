"""A corpus as an object: build, load, select tasks, read shards."""

import hashlib
import shutil
import tempfile
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lar.corpus import shards as files
from lar.corpus.backend import Backend
from lar.corpus.building import build_folder
from lar.corpus.encoding import local_encode
from lar.corpus.manifest import TOKENIZER_FOLDER, Manifest
from lar.corpus.scores import TeacherRecord
from lar.corpus.shards import Shard, ShardFile
from lar.errors import CorpusError, OptionError
from lar.tokenizer.tokenizer import Tokenizer
from lar.trajectories.given import as_trajectories
from lar.trajectories.schema import Trajectory
from lar.utils.progress import Progress, silent

Keep = Callable[[str], bool]


@dataclass(frozen=True)
class _OnSide:
    """Whether a task falls on one side of a split. An object and no closure, so that it can be pickled."""

    held_out: float
    seed: int
    is_held_out: bool

    def __call__(self, task: str) -> bool:
        return (_position(task, self.seed) < self.held_out) == self.is_held_out


@dataclass(frozen=True)
class _Both:
    """Whether a task is in two selections."""

    first: Keep
    second: Keep

    def __call__(self, task: str) -> bool:
        return self.first(task) and self.second(task)


class Corpus:
    """Trajectories as token ids with the agent's mask; all of a folder's, or those of selected tasks.

    Make one with `build` or `load`; `select` and `split` give views of the same folder. `len` is the number
    of trajectories. Two are equal if they are the same selection of the same folder. A corpus can be pickled
    if its selection can; a temporary one is gone when the process that built it drops it.
    """

    def __init__(
        self, path: Path, manifest: Manifest, *, keep: Keep | None = None, owner: object | None = None
    ) -> None:
        """Wrap the finished corpus at `path`; `keep` selects tasks, `owner` holds a temporary folder."""
        self.path = path
        self.manifest = manifest
        self._keep = keep
        self._owner = owner

    def __len__(self) -> int:
        return self.num_trajectories

    def __bool__(self) -> bool:
        return True  # an empty selection is a corpus all the same

    def __repr__(self) -> str:
        part = "" if self._keep is None else "a selection of "
        return (
            f"Corpus({part}{str(self.path)!r}: {self.num_trajectories:,} trajectories, "
            f"{self.num_tokens:,} tokens, {self.num_action_tokens:,} the agent's)"
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Corpus) and self._identity == other._identity

    def __hash__(self) -> int:
        return hash(self.path.resolve())

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path, "manifest": self.manifest, "_keep": self._keep, "_owner": None}

    @property
    def _identity(self) -> tuple[Path, Manifest, Keep | None]:
        return self.path.resolve(), self.manifest, self._keep

    @classmethod
    def build(
        cls,
        trajectories: Iterable[Trajectory | Mapping[str, Any] | list[Any]],
        tokenizer: Any,
        path: str | Path | None = None,
        *,
        workers: int | None = None,
        backend: Backend | None = None,
        shard_tokens: int = 2_000_000,
        skip_refused: bool = False,
        progress: Progress = silent,
    ) -> "Corpus":
        """Render, encode and store `trajectories` at `path`; the bytes do not depend on who encodes.

        `trajectories` are `Trajectory` objects, lists of messages, or records as a log holds them (dicts,
        rows of `datasets`): all are normalized as `lar import` does.
        `tokenizer` is anything that `Tokenizer.of` takes. Without a `path` the corpus lives in a temporary
        folder, as long as it or a view of it. `workers` is how many chunks are under way at a time (default:
        one a core, at most 8); each is encoded on all cores, or RAYON_NUM_THREADS of them. A `backend`, such
        as a cluster, encodes in the place of these workers.
        A shard is closed when it holds `shard_tokens`. `progress` counts trajectories.

        A build that was stopped continues when it is called again with the same input; a finished corpus of
        the same input is returned as it is. Raises CorpusError where there are no trajectories or `path`
        holds something else, TokenizerError where the chat template refuses a trajectory (`skip_refused`
        leaves those out; the manifest counts them and quotes the first).
        """
        owner = _TemporaryFolder() if path is None else None
        folder = owner.path / "corpus" if owner else Path(path or "")
        build_folder(
            as_trajectories(trajectories),
            Tokenizer.of(tokenizer),
            folder,
            encode=backend.encode if backend else local_encode(workers),
            shard_tokens=shard_tokens,
            skip_refused=skip_refused,
            progress=progress,
        )
        return cls(folder, Manifest.read(folder), owner=owner)

    @classmethod
    def load(cls, path: str | Path) -> "Corpus":
        """Open a corpus folder; raises CorpusError that names what is missing, broken or unfinished."""
        folder = Path(path)
        manifest = Manifest.read(folder)
        if not manifest.complete:
            raise CorpusError(
                f"{folder}: its build stopped after {manifest.inputs} trajectories; run it again to finish"
            )
        for part in manifest.parts:
            _check_counts(folder / part.file, part.trajectories, part.tokens)
        return cls(folder, manifest)

    @cached_property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer that made the corpus, from its own copy."""
        tokenizer = Tokenizer.load(self.path / TOKENIZER_FOLDER)
        if tokenizer.fingerprint != self.manifest.tokenizer_fingerprint:
            raise CorpusError(f"{self.path / TOKENIZER_FOLDER}: not the tokenizer that made the corpus")
        return tokenizer

    def shards(self) -> Iterator[Shard]:
        """Yield the shards, memory-mapped, in order; with a selection only its trajectories (copied)."""
        for file in self.shard_files():
            yield file.read()

    def shard_files(self) -> Iterator[ShardFile]:
        """Yield the files that hold something of the selection, in order, with what is selected of each."""
        for part in self.manifest.parts:
            file = ShardFile(self.path / part.file)
            if self._keep is not None:
                file = replace(file, keep=self._selected(file.tasks()))
            if file.keep is None or file.keep.any():
                yield file

    def select(self, keep: Keep) -> "Corpus":
        """Return a view with only the tasks for which `keep(task)` is true (and that this view has)."""
        before = self._keep
        both = keep if before is None else _Both(before, keep)
        return Corpus(self.path, self.manifest, keep=both, owner=self._owner)

    def split(self, held_out: float, seed: int = 0) -> tuple["Corpus", "Corpus"]:
        """Return (train, held-out) views: about the share `held_out` of the *tasks* goes to the second.

        The side of a task depends on its name and `seed` alone (SHA-256), not on order or other tasks.
        Raises OptionError unless 0 <= held_out < 1, CorpusError where a side would have no task.
        """
        if not 0 <= held_out < 1:
            raise OptionError(f"the held-out share must be at least 0 and less than 1, not {held_out}")

        train = self.select(_OnSide(held_out, seed, is_held_out=False))
        held = self.select(_OnSide(held_out, seed, is_held_out=True))
        if held_out > 0 and not (train.tasks and held.tasks):
            side = "training" if held.tasks else "held-out"
            raise CorpusError(
                f"{self.path}: no task of {len(self.tasks)} falls on the {side} side; try another seed"
            )
        return train, held

    @cached_property
    def tasks(self) -> set[str]:
        """The names of the tasks of the selection."""
        names: set[str] = set()
        for part in self.manifest.parts:
            names.update(files.read_batch(self.path / part.file).column("task").unique().to_pylist())
        return names if self._keep is None else set(filter(self._keep, names))

    @property
    def num_trajectories(self) -> int:
        """Trajectories in the selection."""
        return self._counts[0]

    @property
    def num_tokens(self) -> int:
        """Tokens in the selection, the prompts' included."""
        return self._counts[1]

    @property
    def num_action_tokens(self) -> int:
        """Tokens of the selection that the agent generated."""
        return self._counts[2]

    @cached_property
    def _counts(self) -> tuple[int, int, int]:
        parts = self.manifest.parts
        if self._keep is None:
            counts = [(part.trajectories, part.tokens, part.action_tokens) for part in parts]
        else:
            counts = [(len(s.ids), len(s.tokens), int(s.action.sum())) for s in self.shards()]
        return sum(c[0] for c in counts), sum(c[1] for c in counts), sum(c[2] for c in counts)

    @property
    def teacher(self) -> TeacherRecord | None:
        """The model whose scores lie beside the shards (`lar.corpus.scores`), None where there are none.

        Raises:
            CorpusError: the record is broken, or the scores are of format version 1, which are read no more.
        """
        record = TeacherRecord.read(self.path)
        old = record is None and self.manifest.format_version == 1
        if old and any(files.has_old_scores(self.path / part.file) for part in self.manifest.parts):
            raise CorpusError(
                f"{self.path}: scored by an older version, whose scores are read no more; "
                f"run lar score {self.path} --model MODEL"
            )
        return record

    def _selected(self, tasks: list[str]) -> NDArray[np.bool_]:
        keep = self._keep or (lambda _: True)
        answers = {task: bool(keep(task)) for task in set(tasks)}
        return np.array([answers[task] for task in tasks], dtype=np.bool_)


class _TemporaryFolder:
    """A folder that is removed with this object (or at exit, whichever comes first)."""

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="lar-corpus-"))
        weakref.finalize(self, shutil.rmtree, self.path, ignore_errors=True)


def _position(task: str, seed: int) -> float:
    """Return a number in [0, 1), the same everywhere and always for this task and seed."""
    first = hashlib.sha256(f"{seed}:{task}".encode()).digest()[:8]
    return int.from_bytes(first, "big") / 2**64


def _check_counts(file: Path, trajectories: int, tokens: int) -> None:
    batch = files.read_batch(file)
    found = batch.num_rows, len(batch.column("tokens").values)
    if found != (trajectories, tokens):
        stated = f"the manifest says {trajectories} of {tokens}"
        raise CorpusError(f"{file}: {found[0]} trajectories of {found[1]} tokens, {stated}")
