"""The corpus as an object: build, load, select tasks, convert to tables, read shards."""

import logging
import os
import tempfile
import weakref
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lar.corpus import shards as files
from lar.corpus import tables
from lar.corpus.backend import Backend
from lar.corpus.building import build_folder
from lar.corpus.encoding import digest, local_encode
from lar.corpus.manifest import TOKENIZER_FOLDER, Manifest
from lar.corpus.scores import TeacherRecord, are_scored, teacher_tasks
from lar.corpus.selection import Both, InSample, Keep, OnSide, Split, split_in
from lar.corpus.shards import Counts, Row, Shard, ShardFile
from lar.errors import CorpusError, OptionError
from lar.tokenizer.spans import writes_ends
from lar.tokenizer.tokenizer import Tokenizer
from lar.trajectories.given import Given, as_trajectories, paths_or_rows
from lar.trajectories.read import read_trajectories
from lar.trajectories.tasks import one_task
from lar.utils.extras import import_extra
from lar.utils.files import remove_made_in
from lar.utils.paths import StrPath
from lar.utils.progress import Progress, silent

if TYPE_CHECKING:
    import datasets
    import pandas

logger = logging.getLogger(__name__)


class Corpus:
    """Trajectories as token ids with the agent's mask: all of a folder's, or those of selected tasks.

    Make one with `build` (from trajectories), `from_arrow` (from token ids) or `load` (from its folder).
    `select` and `split` give views of the same folder. Iteration gives each trajectory as a `Row`: id, task,
    success, tokens (uint32) and action (bool). `to_arrow`, `to_pandas` and `to_dataset` give the same as a
    table. Where the chat template leaves out the reasoning of earlier turns, a trajectory is several rows: in
    each, other turns are the agent's, written as they were when it wrote them (`lar.tokenizer.prefixes`).
    `len` is the number of rows.

    A corpus may store one split of its tasks (`hold_out` of `build`). Every stage that is given the whole
    corpus obeys it: mining and training read `training`, measurements read `held_out`. A view of selected
    tasks is used as it is.

    Two corpora are equal if they are the same selection of the same folder. A pickled corpus holds its
    folder's path and not the tokens; it needs a selection that can be pickled (a split can, a lambda cannot).
    The folder of a temporary corpus is removed with the object that built it, in the process that did.

    >>> corpus = lar.Corpus.build(trajectories, tokenizer)
    >>> train, held_out = corpus.split(0.2)
    >>> len(train) + len(held_out) == len(corpus)
    True
    >>> row = next(iter(corpus))
    >>> row.tokens.dtype, row.action.dtype, len(row.tokens) == len(row.action)
    (dtype('uint32'), dtype('bool'), True)
    >>> corpus.to_arrow().column_names
    ['id', 'task', 'success', 'tokens', 'action', 'continues']
    """

    def __init__(
        self, path: Path, manifest: Manifest, *, keep: Keep | None = None, owner: object | None = None
    ) -> None:
        """Wrap the finished corpus at `path`; `keep` selects tasks, `owner` holds its temporary folder."""
        self.path = path
        self.manifest = manifest
        self._keep = keep
        self._owner = owner
        self._whole: Corpus | None = None  # whose tokenizer a view shares: reading one takes a second

    def __len__(self) -> int:
        return self._counts.rows

    def __iter__(self) -> Iterator[Row]:
        for shard in self.shards():
            yield from shard.rows()

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
        return {
            "path": self.path,
            "manifest": self.manifest,
            "_keep": self._keep,
            "_owner": None,
            "_whole": None,
        }

    @property
    def _identity(self) -> tuple[Path, Manifest, Keep | None]:
        return self.path.resolve(), self.manifest, self._keep

    @classmethod
    def build(
        cls,
        trajectories: StrPath | Iterable[StrPath] | Given,
        tokenizer: Any,
        path: StrPath | None = None,
        *,
        workers: int | None = None,
        backend: Backend | None = None,
        shard_tokens: int = 2_000_000,
        only_succeeded: bool = False,
        skip_refused: bool = False,
        strict: bool = False,
        hold_out: float | None = None,
        split_seed: int = 0,
        progress: Progress = silent,
    ) -> "Corpus":
        """Render and encode trajectories with the model's chat template, and store them.

        A build that was stopped goes on when it is called again with the same input; a finished corpus of the
        same input is returned as it is, with another split if one is asked for. The stored bytes do not
        depend on `workers` or `backend`.

        Args:
            trajectories: `Trajectory` objects, lists of messages, records as a log holds them (dicts), a
                table of such records (a pandas frame, an Arrow table, a dataset of Hugging Face), or paths of
                logs, which `read_trajectories` reads. All are normalized as `lar import` does.
            tokenizer: what `Tokenizer.of` takes: a model's folder, a `Tokenizer`, or transformers' fast one.
            path: the folder to write; None for a temporary one, which lives as long as the corpus or a view.
            workers: chunks of trajectories that are encoded at a time; None for one a core, at most 8. Each
                is encoded on all cores, or on RAYON_NUM_THREADS of them.
            backend: a cluster, which encodes in place of these workers; None for this machine.
            shard_tokens: a shard is closed when it holds so many tokens.
            only_succeeded: take only trajectories that are known to have succeeded. The manifest counts those
                that failed and those whose outcome is unknown.
            skip_refused: leave out what the chat template refuses. The manifest counts it and quotes the
                first few refusals.
            strict: stop at the first text of the agent that the chat template leaves out. Without it, the
                manifest counts that text by kind (`Unwritten`), and each kind is a warning of the log.
            hold_out: the share of the tasks that every later stage holds out; 0 for none. None keeps the
                split of the corpus that is there; a new one has none. Another share or seed replaces the
                split of a finished corpus without tokenizing again.
            split_seed: another seed holds out other tasks.
            progress: counts trajectories.

        Raises:
            CorpusError: there are no trajectories, none is known to have succeeded with `only_succeeded`,
            `path` holds something else, or a side of the split has no task.
            TokenizerError: the chat template refuses a trajectory, and `skip_refused` is not set.
            UnwrittenTextError: the chat template leaves out text of the agent, and `strict` is set.
            TrajectoryError: a record cannot be read; the message counts records from 1.
            OptionError: both `workers` and `backend` are given, `hold_out` is not in [0, 1), or there is a
            `split_seed` without it.
        """
        if workers is not None and backend is not None:
            raise OptionError("workers is for one machine: it does not go with backend")
        paths, values = paths_or_rows(trajectories)
        tokenizer = Tokenizer.of(tokenizer)
        corpus = cls._built(
            read_trajectories(paths) if paths else as_trajectories(values),
            tokenizer,
            path,
            encode=local_encode(workers) if backend is None else backend.encode,
            digest=digest,
            shard_tokens=shard_tokens,
            only_succeeded=only_succeeded,
            skip_refused=skip_refused,
            strict=strict,
            split=Split.asked_for(hold_out, split_seed),
            progress=progress,
        )
        if not writes_ends(tokenizer):
            logger.warning(
                "the chat template writes no special token at the end of the agent's turns: a model cannot "
                "learn from this corpus where to end a turn"
            )
        return corpus

    @classmethod
    def from_arrow(
        cls,
        table: Any,
        tokenizer: Any,
        path: StrPath | None = None,
        *,
        tokens: str = "tokens",
        action: str = "action",
        task: str = "task",
        shard_tokens: int = 2_000_000,
        hold_out: float | None = None,
        split_seed: int = 0,
        progress: Progress = silent,
    ) -> "Corpus":
        """Store token ids and masks that were made elsewhere as a corpus.

        The inverse of `to_arrow`, except that scores are left out: `lar.score` writes them. A build that was
        stopped goes on when it is called again with the same table.

        Args:
            table: a row for each trajectory: an Arrow table, a pandas frame, a dataset of Hugging Face, or
                any package's table that is an Arrow stream. The columns `id` (its name; else the row's
                number), `success` (truth values or null) and `continues` (truth values: see `to_arrow`) may
                be there too.
            tokenizer: see `build`; the tokenizer that made the ids.
            path: see `build`.
            tokens: the column of token ids, lists of integers.
            action: the column of masks, lists of truth values or of 0 and 1: whether the agent generated the
                token. Transformers calls it `assistant_masks`.
            task: the column of task names, by which support and splits count.
            shard_tokens: see `build`.
            hold_out: see `build`.
            split_seed: see `build`.
            progress: counts trajectories.

        Raises:
            CorpusError: a column is missing, there twice or holds something else, a mask is not as long as
                its tokens, an id lies outside the tokenizer, a row continues another run than the row before,
                or the table names another tokenizer. The message names the row. Nothing is written then.

        >>> again = lar.Corpus.from_arrow(corpus.to_arrow(), corpus.tokenizer)
        >>> list(again) == list(corpus)
        True
        """
        names, tokenizer = tables.TableColumns(tokens, action, task), Tokenizer.of(tokenizer)
        table = tables.as_table(table)
        for _ in tables.runs_of_table(table, tokenizer, names):
            pass  # what is wrong is found before anything is written
        if left_out := tables.left_out_columns(table, names):
            logger.warning("columns without a place in a corpus are left out: %s", ", ".join(left_out))
        return cls._built(
            tables.runs_of_table(table, tokenizer, names),
            tokenizer,
            path,
            encode=tables.keep_rows,
            digest=tables.digest,
            shard_tokens=shard_tokens,
            only_succeeded=False,
            skip_refused=False,
            strict=False,
            split=Split.asked_for(hold_out, split_seed),
            progress=progress,
        )

    @classmethod
    def _built(
        cls, inputs: Iterable[Any], tokenizer: Tokenizer, path: StrPath | None, **how: Any
    ) -> "Corpus":
        owner = _TemporaryFolder() if path is None else None
        folder = owner.path / "corpus" if owner else Path(path or "")
        copy = build_folder(inputs, tokenizer, folder, **how)
        corpus = cls(folder, Manifest.read(folder), owner=owner)
        corpus.tokenizer = copy
        logger.info("%s", corpus)
        corpus._warn_of_gaps()
        if owner is None and (warning := one_task(corpus.task_counts())):
            logger.warning("%s", warning)
        _ = corpus.held_out  # a split that leaves a side empty is an error here and not in a later stage
        return corpus

    def _warn_of_gaps(self) -> None:
        """Log what the build has left out, and rows without a token of the agent."""
        if self.manifest.left_out:
            first = self.manifest.left_out_examples[0]
            logger.warning("%d trajectories left out; the first: %s", self.manifest.left_out, first)
        if silent_ones := sum(part.without_action for part in self.manifest.parts):
            logger.warning("%d trajectories hold no text of the agent", silent_ones)
        for line in self.manifest.unwritten.lines():
            logger.warning("%s", line)
        if self.manifest.unprompted:
            logger.warning(
                "%d of the agent's turns stand behind other text than a prompt of the chat template ends "
                "with, so an engine will give the model another one (docs/training.md, What a prompt ends "
                "with); the first: %s",
                *(self.manifest.unprompted, self.manifest.first_unprompted),
            )
        self.warn_if_outdated()

    def warn_if_outdated(self) -> None:
        """Log what an earlier version did otherwise with the runs; training reads the corpus as it is."""
        if outdated := self.manifest.outdated(self.tokenizer):
            logger.warning(
                "%s: an earlier version built it, which %s; build it in another folder",
                *(self.path, outdated),
            )

    @classmethod
    def load(cls, path: StrPath) -> "Corpus":
        """Open a corpus folder.

        Raises:
            CorpusError: the folder is no corpus, or is broken or unfinished; the message names what is wrong.
        """
        folder = Path(path)
        manifest = Manifest.read(folder)
        if not manifest.complete:
            raise CorpusError(
                f"{folder}: its build stopped after {manifest.inputs} trajectories; run it again to finish"
            )
        for part in manifest.parts:
            _check_counts(folder / part.file, part.rows, part.tokens)
        return cls(folder, manifest)

    @cached_property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer that made the corpus, read from the corpus's own copy.

        Raises:
            CorpusError: the copy is of another tokenizer, or has another chat template.
        """
        if self._whole is not None:
            return self._whole.tokenizer
        folder = self.path / TOKENIZER_FOLDER
        tokenizer = Tokenizer.load(folder)
        if tokenizer.fingerprint != self.manifest.tokenizer_fingerprint:
            raise CorpusError(f"{folder}: not the tokenizer that made the corpus")
        if tokenizer.template_hash != self.manifest.chat_template_hash:
            raise CorpusError(
                f"{folder}: not the chat template that made the corpus; build the corpus again with the same "
                "logs and tokenizer, which stores it anew"
            )
        return tokenizer

    def to_arrow(self) -> pa.Table:
        """The corpus as a `pyarrow.Table` of its rows.

        The columns are id, task (text), success (truth value or null), tokens (lists of uint32), action
        (lists of truth values), continues (truth value: the row before is a shorter prefix of the same
        trajectory) and, where each shard is scored, entropy (lists of float16 in nats, as long as
        tokens; NaN before tokens that are not the agent's, or whose task is not in the sample that was
        scored). A whole corpus is memory-mapped; only entropies are copied. A selection is copied.

        Raises:
            CorpusError: the scores are broken, or were computed for another corpus.
        """
        fingerprint = self.manifest.tokenizer_fingerprint
        return tables.to_table(self.shard_files(), fingerprint, scored=self.is_scored)

    def to_pandas(self) -> "pandas.DataFrame":
        """The corpus as a `pandas.DataFrame` with the columns of `to_arrow`; lists become numpy arrays.

        Raises:
            MissingExtraError: pandas is not installed.
        """
        import_extra("pandas", "Corpus.to_pandas")
        return self.to_arrow().to_pandas()

    def to_dataset(self) -> "datasets.Dataset":
        """The corpus as a `datasets.Dataset` with the columns of `to_arrow`, over the same memory.

        Raises:
            MissingExtraError: Hugging Face's datasets is not installed.
        """
        return import_extra("datasets", "Corpus.to_dataset").Dataset(self.to_arrow())

    def shards(self) -> Iterator[Shard]:
        """Yield the shards in order: memory-mapped, or copied where only a selection of one is read."""
        for file in self.shard_files():
            yield file.read()

    def shard_files(self) -> Iterator[ShardFile]:
        """Yield, in order, the files that hold selected trajectories, each with its selection."""
        for part in self.manifest.parts:
            file = ShardFile(self.path / part.file)
            if self._keep is not None:
                file = replace(file, keep=self._selected(file.tasks()))
            if file.keep is None or file.keep.any():
                yield file

    def select(self, keep: Keep) -> "Corpus":
        """Return a view of the tasks in this one for which `keep(task)` is true."""
        before = self._keep
        both = keep if before is None else Both(before, keep)
        return self._view(self.manifest, both)

    def split(self, held_out: float, seed: int = 0) -> tuple["Corpus", "Corpus"]:
        """Return two views, train and held-out: about the share `held_out` of the *tasks* is held out.

        The side of a task depends on its name and `seed` alone (SHA-256), not on its place or on other tasks.

        With 0, nothing is held out: the second view is empty.

        Raises:
            OptionError: `held_out` is not in [0, 1).
            CorpusError: `held_out` is above 0, and a side would have no task.
        """
        Split(held_out, seed).check_sides(self.task_counts(), self.path)
        train = self.select(OnSide(held_out, seed, is_held_out=False))
        held = self.select(OnSide(held_out, seed, is_held_out=True))
        return train, held

    def with_split(self, hold_out: float, seed: int = 0) -> "Corpus":
        """Return the same corpus with another split than the stored one; the folder keeps its own.

        Raises:
            OptionError: `hold_out` is not in [0, 1).
        """
        split = Split(hold_out, seed)
        return self._view(replace(self.manifest, split=split if hold_out else None), self._keep)

    def _view(self, manifest: Manifest, keep: Keep | None) -> "Corpus":
        view = Corpus(self.path, manifest, keep=keep, owner=self._owner)
        view._whole = self if self._whole is None else self._whole
        return view

    @property
    def training(self) -> "Corpus":
        """The tasks to learn from: the training side of a whole corpus with a split, else this corpus."""
        return self if self._sides is None else self._sides[0]

    @property
    def held_out(self) -> "Corpus | None":
        """The tasks to measure on: the held-out side of a whole corpus with a split, else None."""
        return None if self._sides is None else self._sides[1]

    @cached_property
    def _sides(self) -> "tuple[Corpus, Corpus] | None":
        split = self.manifest.split
        return self.split(split.hold_out, split.seed) if split and self._keep is None else None

    @property
    def own_split(self) -> Split | None:
        """The split that a whole corpus has, or that a view is a side of; None for other views."""
        return self.manifest.split if self._keep is None else split_in(self._keep)

    @property
    def is_whole(self) -> bool:
        """Whether these are all of the folder's tasks and not a selection."""
        return self._keep is None

    @cached_property
    def tasks(self) -> set[str]:
        """The names of the tasks of the selection."""
        names = files.task_names(self.path / part.file for part in self.manifest.parts)
        return names if self._keep is None else set(filter(self._keep, names))

    def task_counts(self) -> Counter[str]:
        """Return how many trajectories of the selection each task has."""
        return Counter(task for file in self.shard_files() for task in file.tasks_of_runs())

    @property
    def num_trajectories(self) -> int:
        """The number of trajectories in the selection."""
        return self._counts.trajectories

    @property
    def num_tokens(self) -> int:
        """The number of tokens in the selection's rows, prompts included."""
        return self._counts.tokens

    @property
    def num_action_tokens(self) -> int:
        """The number of tokens in the selection that the agent generated."""
        return self._counts.action_tokens

    @cached_property
    def _counts(self) -> Counts:
        parts = self.manifest.parts
        if self._keep is None:
            counts = [Counts(part.trajectories, part.rows, part.tokens, part.action_tokens) for part in parts]
        else:
            counts = [file.counts() for file in self.shard_files()]
        return Counts(*map(sum, zip(*counts, strict=True))) if counts else Counts(0, 0, 0, 0)

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

    @property
    def scored(self) -> "Corpus":
        """The tasks that `teacher` has scored, or has begun to: this corpus, or a view of the sample.

        Raises:
            CorpusError: as `teacher` does.
        """
        teacher = self.teacher
        return self if teacher is None or teacher.share == 1 else self.select(InSample(teacher.share))

    @property
    def is_scored(self) -> bool:
        """Whether each shard of the folder has the scores that were asked for last."""
        share = 1.0 if (teacher := TeacherRecord.read(self.path)) is None else teacher.share
        return all(are_scored(self.path / part.file, share) for part in self.manifest.parts)

    @property
    def teacher_tasks(self) -> frozenset[str]:
        """Digests of the tasks that the teacher of `teacher` was trained on; empty for a model as it came."""
        return teacher_tasks(self.path)

    def _selected(self, tasks: list[str]) -> NDArray[np.bool_]:
        keep = self._keep or (lambda _: True)
        answers = {task: bool(keep(task)) for task in set(tasks)}
        return np.array([answers[task] for task in tasks], dtype=np.bool_)


class _TemporaryFolder:
    """A folder that is removed with this object, or at exit, whichever comes first.

    The copy of the object in a forked process leaves the folder alone.
    """

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="lar-corpus-"))
        weakref.finalize(self, remove_made_in, os.getpid(), self.path)


def _check_counts(file: Path, rows: int, tokens: int) -> None:
    batch = files.read_batch(file)
    found = batch.num_rows, len(batch.column("tokens").values)
    if found != (rows, tokens):
        stated = f"the manifest states {rows} of {tokens}"
        raise CorpusError(f"{file}: {found[0]} rows of {found[1]} tokens, {stated}")
