"""The Arrow files of a corpus: one record batch each, memory-mapped to read, replaced whole to write."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lar.errors import CorpusError
from lar.utils.files import atomic_file

_SCORE = pa.list_(pa.float16())
SCHEMA = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("task", pa.string(), nullable=False),
        pa.field("success", pa.bool_()),
        pa.field("tokens", pa.list_(pa.uint32()), nullable=False),
        pa.field("action", pa.list_(pa.bool_()), nullable=False),
        pa.field("entropy", _SCORE),
        pa.field("logprob", _SCORE),
    ]
)


@dataclass(frozen=True, slots=True, eq=False)
class Row:
    """One trajectory of a corpus: n tokens, and whether the agent generated each.

    id: the run's name. task: what support and splits count by. success: None where nobody measured it.
    tokens: uint32 (n). action: bool (n). Two are equal if all of it is.
    """

    id: str
    task: str
    success: bool | None
    tokens: NDArray[np.uint32]
    action: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.tokens)

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Row)
            and (self.id, self.task, self.success) == (other.id, other.task, other.success)
            and np.array_equal(self.tokens, other.tokens)
            and np.array_equal(self.action, other.action)
        )

    def __hash__(self) -> int:
        return hash((self.id, self.task, self.success, len(self)))


@dataclass(frozen=True, slots=True)
class Shard:
    """m trajectories with n tokens in all, as flat arrays; a whole file's are read-only views of it."""

    path: Path
    tokens: NDArray[np.uint32]  # (n)
    offsets: NDArray[np.int64]  # (m + 1): trajectory i is tokens[offsets[i] : offsets[i + 1]]
    action: NDArray[np.bool_]  # (n): the agent generated this token
    entropy: NDArray[np.float16] | None  # (n) nats, of the teacher's distribution before each token
    logprob: NDArray[np.float16] | None  # (n) nats; NaN, like entropy, where the teacher has none
    tasks: list[str]
    ids: list[str]
    success: list[bool | None]
    whole: bool = True  # False: some of the file's trajectories are not selected

    @property
    def scored(self) -> bool:
        """Whether a teacher's entropies and log-probabilities are there."""
        return self.entropy is not None and self.logprob is not None

    def rows(self) -> Iterator[Row]:
        """Yield the trajectories; their arrays are views of the shard's."""
        bounds = self.offsets.tolist()
        for row, name in enumerate(self.ids):
            part = slice(bounds[row], bounds[row + 1])
            yield Row(name, self.tasks[row], self.success[row], self.tokens[part], self.action[part])

    def take(self, keep: NDArray[np.bool_]) -> "Shard":
        """Return the trajectories for which `keep` (m) is true, as copies; this shard itself if all are."""
        if keep.all():
            return self
        lengths = np.diff(self.offsets)
        chosen = np.repeat(keep, lengths)
        rows = np.flatnonzero(keep).tolist()
        return Shard(
            path=self.path,
            tokens=self.tokens[chosen],
            offsets=_offsets(lengths[keep]),
            action=self.action[chosen],
            entropy=None if self.entropy is None else self.entropy[chosen],
            logprob=None if self.logprob is None else self.logprob[chosen],
            tasks=[self.tasks[row] for row in rows],
            ids=[self.ids[row] for row in rows],
            success=[self.success[row] for row in rows],
            whole=False,
        )


@dataclass(frozen=True, slots=True)
class ShardFile:
    """Where a shard lies and what is selected of it: all that another machine needs to read it."""

    path: Path
    keep: NDArray[np.bool_] | None = None  # (m); None: all

    def read(self) -> Shard:
        """Return the selected trajectories; raises CorpusError where the file is no shard."""
        shard = read_shard(self.path)
        return shard if self.keep is None else shard.take(self.keep)

    def tasks(self) -> list[str]:
        """Return the tasks of the selected trajectories without reading their tokens."""
        column = read_batch(self.path).column("task")
        tasks: list[str] = (column if self.keep is None else column.filter(pa.array(self.keep))).to_pylist()
        return tasks


def write_rows(file: Path, rows: Sequence[Row]) -> None:
    """Write a shard without scores, in one step. The same rows give the same bytes."""
    offsets = _offsets([len(row.tokens) for row in rows])
    missing = pa.nulls(len(rows), type=_SCORE)
    columns = {
        "id": pa.array([row.id for row in rows], pa.string()),
        "task": pa.array([row.task for row in rows], pa.string()),
        "success": pa.array([row.success for row in rows], pa.bool_()),
        "tokens": list_array(offsets, np.concatenate([row.tokens for row in rows])),
        "action": list_array(offsets, np.concatenate([row.action for row in rows])),
        "entropy": missing,
        "logprob": missing,
    }
    _write(file, columns)


def write_scores(
    shard: Shard, entropy: NDArray[np.float16] | None, logprob: NDArray[np.float16] | None
) -> None:
    """Replace the two score columns of a shard's file in one step (None: no scores)."""
    batch = read_batch(shard.path)
    columns = {name: batch.column(name) for name in SCHEMA.names}
    for name, values in (("entropy", entropy), ("logprob", logprob)):
        if values is None:
            columns[name] = pa.nulls(batch.num_rows, type=_SCORE)
        else:
            columns[name] = list_array(shard.offsets, np.ascontiguousarray(values, dtype=np.float16))
    _write(shard.path, columns)


def read_shard(file: Path) -> Shard:
    """Map a shard file; raises CorpusError that names it where it is not one."""
    batch = read_batch(file)
    tokens = batch.column("tokens")
    return Shard(
        path=file,
        tokens=tokens.values.to_numpy(zero_copy_only=True),
        offsets=tokens.offsets.to_numpy(zero_copy_only=True).astype(np.int64),
        action=batch.column("action").values.to_numpy(zero_copy_only=False),
        entropy=_score_values(batch, "entropy"),
        logprob=_score_values(batch, "logprob"),
        tasks=batch.column("task").to_pylist(),
        ids=batch.column("id").to_pylist(),
        success=batch.column("success").to_pylist(),
    )


def read_batch(file: Path) -> Any:
    """Return the file's record batch, memory-mapped; raises CorpusError where it is not a shard."""
    try:
        source = pa.memory_map(str(file))
    except FileNotFoundError:
        raise CorpusError(f"{file}: the shard is missing") from None
    try:
        with source:
            reader = pa.ipc.open_file(source)
            if not reader.schema.equals(SCHEMA) or reader.num_record_batches != 1:
                raise CorpusError(f"{file}: not a shard of a corpus (its columns are {reader.schema.names})")
            batch = reader.get_batch(0)
            # Offsets that lead outside would be followed; the tokens themselves are not read.
            batch.validate(full=True)
    # Arrow calls some of what is broken an OSError, and a broken column name is no UTF-8.
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise CorpusError(f"{file}: a broken shard ({str(error).splitlines()[0]})") from None
    return batch


def _score_values(batch: Any, name: str) -> NDArray[np.float16] | None:
    column = batch.column(name)
    if column.null_count:
        return None
    values: NDArray[np.float16] = column.values.to_numpy(zero_copy_only=True)
    return values


def _write(file: Path, columns: dict[str, Any]) -> None:
    batch = pa.record_batch([columns[name] for name in SCHEMA.names], schema=SCHEMA)
    with (
        atomic_file(file) as temporary,
        pa.OSFile(str(temporary), "wb") as sink,
        pa.ipc.new_file(sink, SCHEMA) as out,
    ):
        out.write_batch(batch)


def list_array(offsets: NDArray[np.int64], values: NDArray[Any]) -> Any:
    """An Arrow array of lists: list i is values[offsets[i]:offsets[i + 1]]."""
    return pa.ListArray.from_arrays(pa.array(offsets.astype(np.int32)), pa.array(values))


def _offsets(lengths: Any) -> NDArray[np.int64]:
    offsets = np.zeros(len(lengths) + 1, dtype=np.int64)
    np.cumsum(lengths, out=offsets[1:])
    return offsets
