"""The rows of what a program hands over: lists, Arrow tables, data frames and datasets.

Their packages are not imported. A column of structs has every key in every row, so a key that a row lacks is
null there. In such a table a null cannot be told from an absent key, and is taken for an absent one; so is an
object with nothing but nulls in it, because some programs write an absent struct so. Otherwise a tool call to
`f(a)` would also get the arguments of every other tool, as null.
"""

from collections.abc import Iterable, Iterator, Mapping
from itertools import accumulate
from typing import Any, Protocol

import numpy as np
import pyarrow as pa

from lar.errors import TrajectoryError
from lar.trajectories.layouts.values import distinct, spelled, times

_BATCH_ROWS = 64  # rows of an Arrow table that are Python objects at a time


class ArrowStream(Protocol):
    """A table of any package that has Arrow's PyCapsule interface (pyarrow, polars, duckdb, ...)."""

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """Return the table as a stream of record batches."""


def rows_of(value: Iterable[Any] | ArrowStream) -> Iterator[Any]:
    """Yield the rows of a table, a frame or a dataset as dicts, and the items of any other iterable.

    Raises:
        TrajectoryError: `value` is a single record, or a dict of splits, or has no rows.
    """
    if isinstance(value, Mapping):
        raise TrajectoryError(_not_rows(value))
    if _package(value) == "datasets":
        plain: Any = value.with_format(None) if hasattr(value, "with_format") else value
        return map(without_nulls, plain)
    if hasattr(value, "itertuples"):
        return map(without_nulls, _frame_rows(value))
    if hasattr(value, "__arrow_c_stream__"):
        return _arrow_rows(value)
    if isinstance(value, Iterable):
        return iter(value)
    raise TrajectoryError(f"a {type(value).__name__} has no rows: give a list of records, or a table")


def _not_rows(value: Mapping[Any, Any]) -> str:
    names = ", ".join(map(repr, list(value)[:6]))
    if _package(value) == "datasets":
        return f"a {type(value).__name__} has a dataset for each split: choose one of {names}"
    return f"one record (an object with the keys {names}): give a list of records"


def _package(value: object) -> str:
    return type(value).__module__.partition(".")[0]


def _arrow_rows(table: object) -> Iterator[dict[str, Any]]:
    for batch in pa.RecordBatchReader.from_stream(table):
        yield from rows_of_batch(batch)


def rows_of_batch(batch: pa.RecordBatch) -> Iterator[dict[str, Any]]:
    """Yield the rows of an Arrow batch `without_nulls`, few of them in memory at a time; a map is an object.

    Columns become lists first, and these become rows: that takes a third of the time of `to_pylist`. Of
    several columns with one name the first keeps it: see `distinct`.
    """
    names = distinct(batch.schema.names)
    for start in range(0, batch.num_rows, _BATCH_ROWS):
        columns = batch.slice(start, _BATCH_ROWS).columns
        for values in zip(*map(_values, columns), strict=True):
            yield dict(zip(names, values, strict=True))


def _values(array: pa.Array) -> list[Any]:
    """The values of a column, each without nulls."""
    kind = array.type
    if _has_fields(kind):
        names = distinct([field.name for field in kind])
        rows = [
            {name: value for name, value in zip(names, values, strict=True) if value is not None}
            for values in zip(*map(_members, array.flatten()), strict=True)
        ]
        return _with_nulls(rows, array)
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        inner = _values(array.flatten())
        lengths = [length or 0 for length in array.value_lengths().to_pylist()]
        ends = list(accumulate(lengths))
        lists = [inner[end - length : end] for length, end in zip(lengths, ends, strict=True)]
        return _with_nulls(lists, array)
    if pa.types.is_temporal(kind):
        return times(array)
    values = array.to_pylist(maps_as_pydicts="lossy")
    return values if _is_json(kind) else list(map(_present, values))


def _members(array: pa.Array) -> list[Any]:
    """The values of a member of structs, with None for those that are absent."""
    kind = array.type
    if _has_fields(kind):
        return [value or None for value in _values(array)]
    if not pa.types.is_nested(kind) or pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return _values(array)
    values = array.to_pylist(maps_as_pydicts="lossy")
    return [None if _is_absent(value) else _present(value) for value in values]


def _is_json(kind: pa.DataType) -> bool:
    """Whether JSON has the values of a column as they are: most columns that are not nested."""
    is_number = pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)
    return bool(is_number or pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _has_fields(kind: pa.DataType) -> bool:
    return bool(pa.types.is_struct(kind) and kind.num_fields)


def _with_nulls(values: list[Any], array: pa.Array) -> list[Any]:
    if not array.null_count:
        return values
    return [
        value if valid else None for value, valid in zip(values, array.is_valid().to_pylist(), strict=True)
    ]


def _frame_rows(frame: Any) -> Iterator[dict[str, Any]]:
    """The rows of a pandas frame. Not through Arrow: a column may mix texts with lists of parts."""
    names = distinct([str(name) for name in frame.columns])
    for values in frame.itertuples(index=False, name=None):
        yield dict(zip(names, map(_plain, values), strict=True))


def _plain(value: Any) -> Any:
    """`value` without numpy's arrays and scalars, and with None for what pandas writes where nothing is."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [_plain(item) for item in value]
    if isinstance(value, np.datetime64 | np.timedelta64):  # of nanoseconds, `item` gives a bare number
        value = value.astype(f"{type(value).__name__}[us]")
    if isinstance(value, np.generic):
        value = value.item()
    missing = type(value).__name__ in ("NAType", "NaTType") or (isinstance(value, float) and value != value)
    return None if missing else value


def without_nulls(row: Any) -> Any:
    """A row without null members in its nested values; its own columns stay, null or not."""
    return {name: _present(item) for name, item in row.items()} if isinstance(row, dict) else _present(row)


def _present(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _present(item) for key, item in value.items() if not _is_absent(item)}
    return [_present(item) for item in value] if isinstance(value, list) else spelled(value)


def _is_absent(value: Any) -> bool:
    if isinstance(value, dict) and value:
        return all(map(_is_absent, value.values()))
    return value is None
