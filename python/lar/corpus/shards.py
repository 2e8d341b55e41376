"""The Arrow files of a corpus: one record batch each, written once, memory-mapped to read.

A shard contains what the corpus is. What a teacher computed about it lies beside it (`lar.corpus.scores`).
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import compress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lar.corpus.scores import Scores, read_scores
from lar.errors import CorpusError
from lar.utils.files import atomic_file

SCHEMA = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("task", pa.string(), nullable=False),
        pa.field("success", pa.bool_()),
        pa.field("tokens", pa.list_(pa.uint32()), nullable=False),
        pa.field("action", pa.list_(pa.bool_()), nullable=False),
        pa.field("continues", pa.bool_(), nullable=False),
    ]
)
# Of format version 2, in which each run was one row.
_SCHEMA_2 = pa.schema([field for field in SCHEMA if field.name != "continues"])
# Shards of format version 1 had room for scores, which lie elsewhere now.
_OLD_SCORES = [pa.field(name, pa.list_(pa.float16())) for name in ("entropy", "logprob")]
_SCHEMA_1 = pa.schema([*_SCHEMA_2, *_OLD_SCORES])
_DIGEST = b"lar.digest"
_NAMES_DIGEST = b"lar.names"

# The states of the files that this process has compared with their digests. That takes about twice as long as
# mapping a file, and a thirtieth of folding its runs; mining maps it three to nine times.
_COMPARED: set[tuple[int, ...]] = set()


@dataclass(frozen=True, slots=True, eq=False)
class Row:
    """A trajectory of a corpus, or a prefix of one (`lar.tokenizer.prefixes`): n tokens and the mask.

    id: the run's name. task: what support and splits count by. success: None where nobody measured it.
    tokens: uint32 (n). action: bool (n), whether the agent generated the token, and this row is the one in
    which the token's turn is learnt. continues: whether the row before is a shorter prefix of the same run.
    Two are equal if all of it is.
    """

    id: str
    task: str
    success: bool | None
    tokens: NDArray[np.uint32]
    action: NDArray[np.bool_]
    continues: bool = False

    def __len__(self) -> int:
        return len(self.tokens)

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Row)
            and self._names == other._names
            and np.array_equal(self.tokens, other.tokens)
            and np.array_equal(self.action, other.action)
        )

    def __hash__(self) -> int:
        return hash((self._names, len(self)))

    @property
    def _names(self) -> tuple[str, str, bool | None, bool]:
        return self.id, self.task, self.success, self.continues


class Counts(NamedTuple):
    """How much a part of a corpus has."""

    trajectories: int
    rows: int
    tokens: int
    action_tokens: int


@dataclass(frozen=True)
class Shard:
    """m rows with n tokens in all, as flat arrays; a whole file's tokens are a view of it."""

    path: Path
    digest: str  # SHA-256 of the file's tokens and mask; scores are bound to it
    tokens: NDArray[np.uint32]  # (n)
    offsets: NDArray[np.int64]  # (m + 1): row i is tokens[offsets[i] : offsets[i + 1]]
    action: NDArray[np.bool_]  # (n): the agent generated this token
    tasks: list[str]
    ids: list[str]
    success: list[bool | None]
    continues: NDArray[np.bool_]  # (m): the row before is a shorter prefix of the same run
    selected: NDArray[np.bool_] | None = None  # of the agent's tokens in the file; None: all

    @cached_property
    def runs(self) -> NDArray[np.int64]:
        """The number of each row's trajectory, from 0 on; int64 (m)."""
        return np.cumsum(~self.continues) - 1

    @property
    def num_runs(self) -> int:
        """The number of trajectories."""
        return len(self.continues) - int(self.continues.sum())

    @cached_property
    def scores(self) -> Scores | None:
        """What a teacher computed about the whole file, memory-mapped; None where it is not scored.

        Raises:
            CorpusError: the scores are broken, or were computed for another corpus.
        """
        rows = int(self.action.sum()) if self.selected is None else len(self.selected)
        return read_scores(self.path, self.digest, rows)

    @property
    def action_entropy(self) -> NDArray[np.float16] | None:
        """The teacher's entropies before the agent's a tokens: float16 (a), nats, a view of the mapped file.

        A selection's are copied. None where the file is not scored; NaN before a trajectory's first token,
        and in tasks that are not in the sample which was scored.

        Raises:
            CorpusError: as `scores` does.
        """
        if self.scores is None:
            return None
        return self.scores.entropy if self.selected is None else self.scores.entropy[self.selected]

    @cached_property
    def entropy(self) -> NDArray[np.float16] | None:
        """The teacher's entropies before each token: float16 (n), nats; None where the file is not scored.

        NaN before tokens that the agent did not generate, and where `action_entropy` has it.

        Raises:
            CorpusError: as `scores` does.
        """
        if (found := self.action_entropy) is None:
            return None
        spread = np.full(len(self.tokens), np.nan, dtype=np.float16)
        spread[self.action] = found
        return spread

    @cached_property
    def action_offsets(self) -> NDArray[np.int64]:
        """How many of the agent's tokens come before each trajectory; int64 (m + 1)."""
        return _offsets(self.action)[self.offsets]

    def rows(self) -> Iterator[Row]:
        """Yield the trajectories; their arrays are views of the shard's."""
        bounds = self.offsets.tolist()
        for row, name in enumerate(self.ids):
            part = slice(bounds[row], bounds[row + 1])
            columns = self.tasks[row], self.success[row], self.tokens[part], self.action[part]
            yield Row(name, *columns, continues=bool(self.continues[row]))

    def take(self, keep: NDArray[np.bool_]) -> "Shard":
        """Return the trajectories for which `keep` (m) is true, as copies; this shard itself if all are."""
        if keep.all():
            return self
        lengths = np.diff(self.offsets)
        chosen = np.repeat(keep, lengths)
        rows = np.flatnonzero(keep).tolist()
        selected = np.ones(self.action.sum(), np.bool_) if self.selected is None else self.selected.copy()
        selected[selected] = chosen[self.action]
        return Shard(
            path=self.path,
            digest=self.digest,
            tokens=self.tokens[chosen],
            offsets=_offsets(lengths[keep]),
            action=self.action[chosen],
            tasks=[self.tasks[row] for row in rows],
            ids=[self.ids[row] for row in rows],
            success=[self.success[row] for row in rows],
            continues=self.continues[keep],
            selected=selected,
        )


@dataclass(frozen=True, slots=True)
class ShardFile:
    """The path of a shard and what is selected of it: all that another machine needs to read it."""

    path: Path
    keep: NDArray[np.bool_] | None = None  # (m); None: all

    def read(self) -> Shard:
        """Return the selected trajectories; raises CorpusError where the file is not a shard."""
        shard = read_shard(self.path)
        return shard if self.keep is None else shard.take(self.keep)

    def counts(self) -> Counts:
        """The counts of what is selected, without reading the tokens."""
        batch = read_batch(self.path)
        mask = batch.column("action")
        keep = np.ones(len(mask), np.bool_) if self.keep is None else self.keep
        # Rows that are selected one after another are a stretch of the mask, whose bits are counted.
        edges = np.flatnonzero(np.diff(keep, prepend=False, append=False)).reshape(-1, 2)
        stretches = [mask.slice(first, end - first).flatten() for first, end in edges.tolist()]
        return Counts(
            trajectories=int((keep & ~_continues(batch)).sum()),
            rows=int(keep.sum()),
            tokens=sum(map(len, stretches)),
            action_tokens=sum(part.true_count for part in stretches),
        )

    def tasks(self) -> list[str]:
        """Return the task of each selected row without reading the tokens."""
        column = read_batch(self.path).column("task")
        tasks: list[str] = (column if self.keep is None else column.filter(pa.array(self.keep))).to_pylist()
        return tasks

    def tasks_of_runs(self) -> list[str]:
        """Return the task of each selected trajectory, which may be several rows, in the same way."""
        begins = ~_continues(read_batch(self.path))
        begins = begins if self.keep is None else begins[self.keep]
        return list(compress(self.tasks(), begins.tolist()))


def write_rows(file: Path, rows: Sequence[Row]) -> None:
    """Write a shard in one step. The same rows give the same bytes."""
    offsets = _offsets([len(row.tokens) for row in rows])
    tokens = np.concatenate([row.tokens for row in rows])
    action = np.concatenate([row.action for row in rows])
    columns = [
        pa.array([row.id for row in rows], pa.string()),
        pa.array([row.task for row in rows], pa.string()),
        pa.array([row.success for row in rows], pa.bool_()),
        list_array(offsets, tokens),
        list_array(offsets, action),
        pa.array([row.continues for row in rows], pa.bool_()),
    ]
    batch = pa.record_batch(columns, schema=SCHEMA)
    digests = {_DIGEST: _digest(tokens, action).encode(), _NAMES_DIGEST: _names_digest(batch).encode()}
    batch = batch.replace_schema_metadata(digests)
    with (
        atomic_file(file) as temporary,
        pa.OSFile(str(temporary), "wb") as sink,
        pa.ipc.new_file(sink, batch.schema) as out,
    ):
        out.write_batch(batch)


def read_shard(file: Path) -> Shard:
    """Map a shard file; the first time that a process does so, its content is compared with the digests.

    Raises:
        CorpusError: the file is not a shard, or has changed since it was written; the message has its path.
    """
    state = _state(file)  # before it is read: what is written from now on is compared the next time
    batch = read_batch(file)
    column = batch.column("tokens")
    tokens = column.values.to_numpy(zero_copy_only=True)
    action = batch.column("action").values.to_numpy(zero_copy_only=False)
    digest = (batch.schema.metadata or {}).get(_DIGEST)  # version 1 stored none
    shard = Shard(
        path=file,
        digest=_digest(tokens, action) if digest is None else digest.decode("ascii", "replace"),
        tokens=tokens,
        offsets=column.offsets.to_numpy(zero_copy_only=True).astype(np.int64),
        action=action,
        tasks=batch.column("task").to_pylist(),
        ids=batch.column("id").to_pylist(),
        success=batch.column("success").to_pylist(),
        continues=_continues(batch),
    )
    if state not in _COMPARED:
        _compare(shard, batch)
        _COMPARED.add(state)
    return shard


def _compare(shard: Shard, batch: Any) -> None:
    """Raise CorpusError where a shard is not what its digests were made of; older ones have fewer of them."""
    stored = batch.schema.metadata or {}
    found = {}
    if _DIGEST in stored:
        found[_DIGEST] = _digest(shard.tokens, shard.action).encode()
    if _NAMES_DIGEST in stored:
        found[_NAMES_DIGEST] = _names_digest(batch).encode()
    if any(stored[key] != digest for key, digest in found.items()):
        raise CorpusError(
            f"{shard.path}: a damaged shard (it has changed since it was written); copy it again from where "
            "it is whole, or build the corpus again"
        )


def _state(file: Path) -> tuple[int, ...]:
    """What changes when a file is written."""
    try:
        found = file.stat()
    except FileNotFoundError:
        raise CorpusError(f"{file}: the shard is missing") from None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


def _continues(batch: Any) -> NDArray[np.bool_]:
    """Which rows of a shard continue the run of the row before; bool (m)."""
    if "continues" not in batch.schema.names:
        return np.zeros(batch.num_rows, np.bool_)
    column: NDArray[np.bool_] = batch.column("continues").to_numpy(zero_copy_only=False)
    return column


def task_names(shards: Iterable[Path]) -> set[str]:
    """The names of the tasks in shard files."""
    return {name for file in shards for name in read_batch(file).column("task").unique().to_pylist()}


def has_old_scores(file: Path) -> bool:
    """Return whether a shard contains scores, as those of format version 1 did."""
    batch = read_batch(file)
    return "entropy" in batch.schema.names and bool(batch.column("entropy").null_count == 0)


def read_batch(file: Path) -> Any:
    """Return the file's record batch, memory-mapped; raises CorpusError where it is not a shard."""
    try:
        source = pa.memory_map(str(file))
    except FileNotFoundError:
        raise CorpusError(f"{file}: the shard is missing") from None
    try:
        with source:
            reader = pa.ipc.open_file(source)
            if reader.schema not in (SCHEMA, _SCHEMA_2, _SCHEMA_1) or reader.num_record_batches != 1:
                raise CorpusError(f"{file}: not a shard of a corpus (its columns are {reader.schema.names})")
            batch = reader.get_batch(0)
            # Unchecked, offsets that lead outside would be followed. This reads offsets, but no tokens.
            batch.validate(full=True)
    # Arrow raises OSError for some broken files, and a broken column name is not UTF-8.
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise CorpusError(f"{file}: a broken shard ({str(error).splitlines()[0]})") from None
    return batch


def list_array(offsets: NDArray[np.int64], values: NDArray[Any]) -> Any:
    """An Arrow array of lists: list i is values[offsets[i]:offsets[i + 1]]."""
    return pa.ListArray.from_arrays(pa.array(offsets.astype(np.int32)), pa.array(values))


def _offsets(lengths: Any) -> NDArray[np.int64]:
    offsets = np.zeros(len(lengths) + 1, dtype=np.int64)
    np.cumsum(lengths, out=offsets[1:])
    return offsets


def _digest(tokens: NDArray[np.uint32], action: NDArray[np.bool_]) -> str:
    digest = hashlib.sha256(np.ascontiguousarray(tokens).data)  # mapped tokens are not copied
    digest.update(np.packbits(action).data)
    return digest.hexdigest()


def _names_digest(batch: Any) -> str:
    """SHA-256 of all of a shard but its tokens and mask; no scores are bound to it."""
    columns = {name: batch.column(name) for name in batch.schema.names}
    listed = [
        column.offsets.to_pylist() if name in ("tokens", "action") else column.to_pylist()
        for name, column in columns.items()
    ]
    return hashlib.sha256(json.dumps(listed).encode()).hexdigest()
