"""Corpora as Arrow tables, and corpora of token ids and masks that were made elsewhere."""

import hashlib
import json
import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lar.corpus.encoding import Encoded
from lar.corpus.shards import SCHEMA, Row, ShardFile, list_array, read_batch, read_shard
from lar.errors import CorpusError
from lar.tokenizer.tokenizer import Tokenizer

logger = logging.getLogger(__name__)

_BATCH_ROWS = 1000  # of a dataset that can only be read in order
_FINGERPRINT = b"lar.tokenizer_fingerprint"


def to_table(files: Iterable[ShardFile], fingerprint: str, *, scored: bool) -> pa.Table:
    """The trajectories of `files` as a table, with the tokenizer's fingerprint in its metadata.

    Memory-mapped, except for entropies and for what a selection copies. `scored`: each file has scores, which
    become a column of entropies.

    Raises:
        CorpusError: a file is not a shard, or its scores are broken.
    """
    fields = list(SCHEMA)
    if scored:
        fields.append(pa.field("entropy", pa.list_(pa.float16()), nullable=False))
    schema = pa.schema(fields, {_FINGERPRINT: fingerprint})
    return pa.Table.from_batches([_to_batch(file, schema) for file in files], schema)


def _to_batch(file: ShardFile, schema: Any) -> Any:
    stored = read_batch(file.path)
    columns = [stored.column(name) for name in SCHEMA.names if name in stored.schema.names]
    if len(columns) < len(SCHEMA):  # of an earlier format
        columns.append(pa.array([False] * stored.num_rows, pa.bool_()))
    if "entropy" in schema.names:
        shard = read_shard(file.path)
        entropy = np.empty(0, np.float16) if shard.entropy is None else shard.entropy
        columns.append(list_array(shard.offsets, entropy))
    batch = pa.record_batch(columns, schema=schema)
    return batch if file.keep is None else batch.filter(pa.array(file.keep))


def as_table(value: Any) -> pa.Table:
    """A table, a pandas frame, a dataset of Hugging Face, or any Arrow stream as an Arrow table.

    Raises:
        CorpusError: `value` is none of these.
    """
    if isinstance(value, pa.Table):
        return value
    if type(value).__module__.startswith("datasets.") and hasattr(value, "with_format"):
        return _of_dataset(value)
    if hasattr(value, "itertuples"):
        return _of_frame(value)
    if hasattr(value, "__arrow_c_stream__"):
        return pa.RecordBatchReader.from_stream(value).read_all()
    raise CorpusError(f"a {type(value).__name__} is no table: give an Arrow table, a data frame or a Dataset")


def _of_dataset(dataset: Any) -> pa.Table:
    if isinstance(dataset, Mapping):
        splits = ", ".join(map(repr, dataset))
        raise CorpusError(f"a {type(dataset).__name__} has a dataset for each split: choose one of {splits}")
    arrow = dataset.with_format("arrow")
    if hasattr(arrow, "__len__"):
        return arrow[:]
    batches = list(arrow.iter(batch_size=_BATCH_ROWS))
    return pa.concat_tables(batches) if batches else pa.table({})


def _of_frame(frame: Any) -> pa.Table:
    try:
        return pa.Table.from_pandas(frame, preserve_index=False)
    except (pa.ArrowException, ValueError) as error:
        raise CorpusError(f"the frame is no table of Arrow: {str(error).splitlines()[0]}") from None


@dataclass(frozen=True)
class TableColumns:
    """The names of the columns that a corpus is made from."""

    tokens: str = "tokens"
    action: str = "action"
    task: str = "task"


@dataclass(frozen=True, slots=True)
class TableRun:
    """The rows of one trajectory, at least one."""

    rows: tuple[Row, ...]

    @property
    def success(self) -> bool | None:
        """Whether the run solved its task; None where nobody measured it."""
        return self.rows[0].success


def runs_of_table(table: pa.Table, tokenizer: Tokenizer, names: TableColumns) -> Iterator[TableRun]:
    """Yield the trajectories of a table.

    Raises:
        CorpusError: a column is missing, there twice or of another type, a value is null, a mask is not as
            long as its tokens, an id lies outside the tokenizer, or a row continues another run than the row
            before.
    """
    rows: list[Row] = []
    for number, row in enumerate(_rows_of_table(table, tokenizer, names)):
        if row.continues and not (rows and _same_run(row, rows[0])):
            raise CorpusError(f"row {number}: 'continues' is true, but the row before is of no same run")
        if rows and not row.continues:
            yield TableRun(tuple(rows))
            rows = []
        rows.append(row)
    if rows:
        yield TableRun(tuple(rows))


def _same_run(row: Row, first: Row) -> bool:
    return (row.id, row.task, row.success) == (first.id, first.task, first.success)


def _rows_of_table(table: pa.Table, tokenizer: Tokenizer, names: TableColumns) -> Iterator[Row]:
    _check_columns(table, tokenizer, names)
    first = 0
    for batch in table.to_batches():
        yield from _rows(batch, first, tokenizer, names)
        first += batch.num_rows


def _check_columns(table: pa.Table, tokenizer: Tokenizer, names: TableColumns) -> None:
    found, needed = Counter(table.column_names), {names.tokens, names.action, names.task}
    for name in (names.tokens, names.action, names.task, "id", "success", "continues"):
        if found[name] > 1:
            raise CorpusError(f"the table has {found[name]} columns {name!r}: rename all but one of them")
        if name in needed and name not in found:
            raise CorpusError(f"the table has no column {name!r}; its columns are {table.column_names}")
    maker = (table.schema.metadata or {}).get(_FINGERPRINT, b"").decode()
    if maker and maker != tokenizer.fingerprint:
        raise CorpusError(
            f"the table holds ids of tokenizer {maker[:12]}, not of this one ({tokenizer.fingerprint[:12]})"
        )


def left_out_columns(table: pa.Table, names: TableColumns) -> list[str]:
    """The columns of a table that a corpus has no place for, or that `lar.score` has to write."""
    used = {names.tokens, names.action, names.task, "id", "success", "continues"}
    return [name for name in table.column_names if name not in used]


def _rows(batch: Any, first: int, tokenizer: Tokenizer, names: TableColumns) -> Iterator[Row]:
    tokens, offsets = _flat(batch, names.tokens, first)
    action, ends = _flat(batch, names.action, first)
    for row in np.flatnonzero(np.diff(offsets) != np.diff(ends)).tolist()[:1]:
        lengths = f"{offsets[row + 1] - offsets[row]} tokens, but a mask of {ends[row + 1] - ends[row]}"
        raise CorpusError(f"row {first + row}: {lengths}")
    outside = (tokens < 0) | (tokens >= tokenizer.base_size)
    _refuse(outside, tokens, offsets, first, f"is no id of the tokenizer (0 to {tokenizer.base_size - 1})")
    _refuse(action.astype(np.int64) >> 1 != 0, action, offsets, first, "in a mask is neither 0 nor 1")
    tasks = _texts(batch, names.task, first)
    success, continues = _truths(batch, "success"), _truths(batch, "continues")
    ids = _texts(batch, "id", first) or _numbers(continues, first)
    bounds = offsets.tolist()
    tokens, action = tokens.astype(np.uint32), action.astype(np.bool_)
    for row in range(batch.num_rows):
        part = slice(bounds[row], bounds[row + 1])
        yield Row(
            ids[row], tasks[row], success[row], tokens[part], action[part], continues=bool(continues[row])
        )


def _numbers(continues: Sequence[bool | None], first: int) -> list[str]:
    """The names of runs without names: the number of their first row, of which `first` is the batch's."""
    found = list[str]()
    for row, is_same in enumerate(continues, start=first):
        found.append(found[-1] if is_same and found else str(row))
    return found


def _flat(batch: Any, name: str, first: int) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """The values of a column of lists, end to end, and the offsets of the lists (rows + 1)."""
    import pyarrow.compute as pc  # here: it takes as long to import as the rest of pyarrow

    column = batch.column(name)
    if not (_is_list(column.type) and _is_whole(column.type.value_type)):
        raise CorpusError(f"column {name!r} holds {column.type}, not lists of integers or truth values")
    values = column.flatten()
    values = values.cast(pa.uint32()) if pa.types.is_null(values.type) else values  # all lists are empty
    if column.null_count or values.null_count:
        raise CorpusError(f"column {name!r} holds a null in the rows from {first} on")
    lengths = pc.list_value_length(column).to_numpy(zero_copy_only=False)
    offsets = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]).astype(np.int64)
    return values.to_numpy(zero_copy_only=False), offsets


def _is_list(kind: Any) -> bool:
    return any(is_(kind) for is_ in (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list))


def _is_whole(kind: Any) -> bool:
    return any(is_(kind) for is_ in (pa.types.is_integer, pa.types.is_boolean, pa.types.is_null))


def _refuse(
    wrong: NDArray[np.bool_], values: NDArray[Any], offsets: NDArray[np.int64], first: int, why: str
) -> None:
    """Raise CorpusError for the first value that is `wrong`, with its row and position."""
    if wrong.any():
        place = int(np.argmax(wrong))
        row = int(np.searchsorted(offsets, place, side="right")) - 1
        where = f"row {first + row}, position {place - offsets[row]}"
        raise CorpusError(f"{where}: {values[place]} {why}")


def _texts(batch: Any, name: str, first: int) -> list[str]:
    """A column of texts or integers as texts; empty where there is none."""
    if name not in batch.schema.names:
        return []
    column = batch.column(name)
    if column.null_count:
        raise CorpusError(f"column {name!r} holds a null in the rows from {first} on")
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    # Not all that Arrow can write as text: floats and truth values are no names.
    if not (_is_text(kind) or pa.types.is_integer(kind) or pa.types.is_null(kind)):
        raise CorpusError(f"column {name!r} holds {column.type}, not texts or integers")
    return [str(value) for value in column.to_pylist()]


def _is_text(kind: Any) -> bool:
    names = ("is_string", "is_large_string", "is_string_view")  # old versions of Arrow lack the last one
    return any(getattr(pa.types, name, lambda _: False)(kind) for name in names)


def _truths(batch: Any, name: str) -> list[bool | None]:
    """A column of truth values; None for each row where there is none."""
    if name not in batch.schema.names:
        return [None] * batch.num_rows
    column = batch.column(name)
    if not (pa.types.is_boolean(column.type) or pa.types.is_null(column.type)):
        raise CorpusError(f"column {name!r} holds {column.type}, not truth values")
    values: list[bool | None] = column.to_pylist()
    return values


def keep_rows(runs: Iterable[TableRun], _: Tokenizer) -> Iterator[Encoded]:
    """Rows as they are, in the place of trajectories that are encoded (`lar.corpus.encoding.Encode`)."""
    return (Encoded(digest(run), run.rows) for run in runs)


def digest(run: TableRun) -> bytes:
    """SHA-256 of a run's rows."""
    found = hashlib.sha256()
    for row in run.rows:
        found.update(json.dumps([row.id, row.task, row.success]).encode())
        found.update(np.ascontiguousarray(row.tokens).tobytes())
        found.update(np.ascontiguousarray(row.action).tobytes())
    return found.digest()
