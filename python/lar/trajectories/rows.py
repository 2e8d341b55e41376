"""The rows of what a program hands over: lists, Arrow tables, data frames and datasets.

Their packages are not imported. A column of structs has every key in every row, so a key that a row lacks is
null there. In such a table a null cannot be told from an absent key, and is taken for an absent one; so is an
object with nothing but nulls in it, because some programs write an absent struct so. Otherwise a tool call to
`f(a)` would also get the arguments of every other tool, as null.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Protocol

import numpy as np
import pyarrow as pa

from lar.errors import TrajectoryError

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
        return map(without_nulls, _arrow_rows(value))
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
    """Yield the rows of an Arrow batch, few of them in memory at a time; a map is an object."""
    for start in range(0, batch.num_rows, _BATCH_ROWS):
        yield from batch.slice(start, _BATCH_ROWS).to_pylist(maps_as_pydicts="lossy")


def _frame_rows(frame: Any) -> Iterator[dict[str, Any]]:
    """The rows of a pandas frame. Not through Arrow: a column may mix texts with lists of parts."""
    names = [str(name) for name in frame.columns]
    for values in frame.itertuples(index=False, name=None):
        yield dict(zip(names, map(_plain, values), strict=True))


def _plain(value: Any) -> Any:
    """`value` without numpy's arrays and scalars, and with None for what pandas writes where nothing is."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [_plain(item) for item in value]
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
    return [_present(item) for item in value] if isinstance(value, list) else value


def _is_absent(value: Any) -> bool:
    if isinstance(value, dict) and value:
        return all(map(_is_absent, value.values()))
    return value is None
