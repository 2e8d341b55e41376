"""Read and write Parquet: files of this package, and others with a column of messages."""

import json
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate, chain
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from lar.errors import TrajectoryError
from lar.trajectories.layouts.record import BrokenRecordError, Record
from lar.trajectories.layouts.rows import rows_of_batch
from lar.trajectories.schema import PARQUET_SCHEMA, Message, ToolCall, Trajectory

READ_ROWS = 64  # rows in memory at a time
RANGE_BYTES = 16 << 20  # unpacked bytes of the row groups that one process reads at a time


def read_rows(
    file: str | Path | IO[bytes], groups: range | None = None, first_number: int = 1
) -> Iterator[Record]:
    """Yield each row as a record; raises BrokenRecordError at the row from which the file cannot be read.

    `groups` are the row groups to read, all by default; `first_number` is that of the first row there.
    """
    number = first_number - 1
    try:
        # Pre-buffering would keep 231 MB of a file of 1.1 GB of text in memory instead of 28.
        with pq.ParquetFile(file, pre_buffer=False) as table:
            for batch in table.iter_batches(batch_size=READ_ROWS, row_groups=groups):
                for row in rows_of_batch(batch):
                    number += 1
                    yield Record(row, number)
    except (pa.ArrowException, OSError, ValueError, OverflowError) as error:  # OSError: of corrupt pages
        raise BrokenRecordError(f"not a readable Parquet file: {error}", None, number + 1) from error


def group_ranges(file: Path | IO[bytes]) -> list[tuple[range, int]]:
    """Cut a file at row groups: ranges of them of about `RANGE_BYTES`, each with its number of rows.

    Raises:
        BrokenRecordError: the file has no readable footer.
    """
    try:
        with pq.ParquetFile(file) as table:
            groups = [table.metadata.row_group(number) for number in range(table.num_row_groups)]
    except (pa.ArrowException, OSError) as error:
        raise BrokenRecordError(f"not a readable Parquet file: {error}", None, 1) from error
    ranges: list[tuple[range, int]] = []
    start = rows = size = 0
    for number, group in enumerate(groups):
        rows, size = rows + group.num_rows, size + group.total_byte_size
        if size >= RANGE_BYTES or number == len(groups) - 1:
            ranges.append((range(start, number + 1), rows))
            start, rows, size = number + 1, 0, 0
    return ranges


def from_row(row: dict[str, Any]) -> Trajectory:
    """The trajectory of a row that `to_batch` made."""
    tools = None if row["tools"] is None else json.loads(row["tools"])
    return Trajectory(
        **{**row, "tools": tools, "messages": [_nested(message) for message in row["messages"]]}
    )


def _nested(flat: dict[str, Any]) -> Message:
    message: Any = {name: value for name, value in flat.items() if value is not None}
    if "tool_calls" in message:
        message["tool_calls"] = [
            {
                "id": call["id"],
                "type": call["type"],
                "function": {"name": call["name"], "arguments": call["arguments"]},
            }
            for call in message["tool_calls"]
        ]
    return message  # type: ignore[no-any-return]


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

    def write(self, trajectories: Sequence[Trajectory]) -> None:
        """Write one row group."""
        self.write_encoded([to_batch(trajectories)])

    def write_encoded(self, batches: list[pa.RecordBatch]) -> None:
        """Write what `to_batch` gave as one row group."""
        table = pa.Table.from_batches(batches, PARQUET_SCHEMA)
        whole = table.combine_chunks() if len(batches) > 1 else table
        self._file.write_table(whole, row_group_size=max(1, whole.num_rows))

    def close(self) -> None:
        """Write the footer."""
        self._file.close()
