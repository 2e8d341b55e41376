"""Read and write Parquet: files of this package, and others with a column of messages."""

import json
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate, chain
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from lar.errors import TrajectoryError
from lar.trajectories.json_stream import BrokenRecordError, Record
from lar.trajectories.rows import without_nulls
from lar.trajectories.schema import PARQUET_SCHEMA, Message, ToolCall, Trajectory

READ_ROWS = 64  # rows in memory at a time


def read_rows(file: str | Path | IO[bytes]) -> Iterator[Record]:
    """Yield each row as a record; raises BrokenRecordError at the row from which the file cannot be read."""
    number = 0
    try:
        # Pre-buffering would keep 231 MB of a file of 1.1 GB of text in memory instead of 28.
        with pq.ParquetFile(file, pre_buffer=False) as table:
            for batch in table.iter_batches(batch_size=READ_ROWS):
                for row in batch.to_pylist():
                    number += 1
                    yield Record(without_nulls(row), number)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:  # corrupt pages raise a plain OSError
        raise BrokenRecordError(f"not a readable Parquet file: {error}", None, number + 1) from error


def to_batch(trajectories: Sequence[Trajectory]) -> pa.RecordBatch:
    """The trajectories as rows of `PARQUET_SCHEMA`.

    Columns are built from lists of one member each: that takes a quarter of the time of `from_pylist`.

    Raises:
        TrajectoryError: a text is not valid UTF-8, or a value is of another type.
    """
    try:
        columns = [
            _messages([trajectory.messages for trajectory in trajectories])
            if field.name == "messages"
            else pa.array(_plain_column(trajectories, field.name), field.type)
            for field in PARQUET_SCHEMA
        ]
    except (pa.ArrowException, UnicodeEncodeError, TypeError) as error:
        raise TrajectoryError(f"a trajectory does not fit the Parquet schema: {error}") from error
    return pa.RecordBatch.from_arrays(columns, schema=PARQUET_SCHEMA)


def _plain_column(trajectories: Sequence[Trajectory], name: str) -> list[Any]:
    values = [getattr(trajectory, name) for trajectory in trajectories]
    if name == "tools":
        return [None if tools is None else json.dumps(tools, ensure_ascii=False) for tools in values]
    return values


def _messages(conversations: list[list[Message]]) -> pa.ListArray:
    type_ = PARQUET_SCHEMA.field("messages").type
    messages = list(chain.from_iterable(conversations))
    some_are_rich = any(len(message) > 2 for message in messages)  # have more than role and content
    columns = [_member(messages, field, some_are_rich) for field in type_.value_type]
    structs = pa.StructArray.from_arrays(columns, fields=list(type_.value_type))
    return pa.ListArray.from_arrays(_offsets(map(len, conversations)), structs, type=type_)


def _member(messages: list[Message], field: pa.Field, some_are_rich: bool) -> pa.Array:
    name = field.name
    if name in ("role", "content"):
        return pa.array([message.get(name) for message in messages], field.type)
    if not some_are_rich:
        return pa.nulls(len(messages), field.type)
    values: list[Any] = [message.get(name) for message in messages]
    return _calls(values, field.type) if name == "tool_calls" else pa.array(values, field.type)


def _calls(values: list[list[ToolCall] | None], type_: pa.DataType) -> pa.ListArray:
    if not any(values):
        return pa.nulls(len(values), type_)
    calls = [call for some in values for call in some or ()]
    functions: list[Any] = [{"id": call["id"], "type": call["type"], **call["function"]} for call in calls]
    columns = [
        pa.array([function[field.name] for function in functions], field.type) for field in type_.value_type
    ]
    structs = pa.StructArray.from_arrays(columns, fields=list(type_.value_type))
    missing = pa.array([not some for some in values], pa.bool_())
    return pa.ListArray.from_arrays(
        _offsets(len(some or ()) for some in values), structs, type=type_, mask=missing
    )


def _offsets(lengths: Iterable[int]) -> pa.Array:
    return pa.array(accumulate(lengths, initial=0), pa.int32())


class ParquetWriter:
    """Writes trajectories in row groups as they come."""

    def __init__(self, path: Path) -> None:
        self._file = pq.ParquetWriter(path, PARQUET_SCHEMA, compression="zstd")

    def write(self, trajectories: list[Trajectory]) -> None:
        """Write one row group."""
        self.write_batch(to_batch(trajectories))

    def write_batch(self, batch: pa.RecordBatch) -> None:
        """Write one row group."""
        self._file.write_batch(batch)

    def close(self) -> None:
        """Write the footer."""
        self._file.close()
