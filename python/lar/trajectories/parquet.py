"""Read and write Parquet: files of this package, and others with a column of messages."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from lar.errors import TrajectoryError
from lar.trajectories.json_stream import BrokenRecordError, Record
from lar.trajectories.rows import rows_of_batch, without_nulls
from lar.trajectories.schema import PARQUET_SCHEMA, Message, Trajectory

READ_ROWS = 64  # rows in memory at a time


def read_rows(file: str | Path | IO[bytes]) -> Iterator[Record]:
    """Yield each row as a record; raises BrokenRecordError at the row from which the file cannot be read."""
    number = 0
    try:
        # Pre-buffering would keep 231 MB of a file of 1.1 GB of text in memory instead of 28.
        with pq.ParquetFile(file, pre_buffer=False) as table:
            for batch in table.iter_batches(batch_size=READ_ROWS):
                for row in rows_of_batch(batch):
                    number += 1
                    yield Record(without_nulls(row), number)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:  # corrupt pages raise a plain OSError
        raise BrokenRecordError(f"not a readable Parquet file: {error}", None, number + 1) from error


def to_row(trajectory: Trajectory) -> dict[str, Any]:
    """Make the row of a trajectory, as `PARQUET_SCHEMA` has it."""
    tools = trajectory.tools
    return {
        **trajectory.to_dict(),
        "tools": None if tools is None else json.dumps(tools, ensure_ascii=False),
        "messages": [_flat(message) for message in trajectory],
    }


def _flat(message: Message) -> dict[str, Any]:
    calls = message.get("tool_calls", [])
    flat = [{"id": call["id"], "type": call["type"], **call["function"]} for call in calls]
    return {**message, "tool_calls": flat} if flat else {**message}


class ParquetWriter:
    """Writes trajectories in row groups as they come."""

    def __init__(self, path: Path) -> None:
        self._file = pq.ParquetWriter(path, PARQUET_SCHEMA, compression="zstd")

    def write(self, trajectories: list[Trajectory]) -> None:
        """Write one row group."""
        try:
            batch = pa.RecordBatch.from_pylist([to_row(item) for item in trajectories], schema=PARQUET_SCHEMA)
        except (pa.ArrowException, UnicodeEncodeError) as error:
            raise TrajectoryError(f"a trajectory does not fit the Parquet schema: {error}") from error
        self._file.write_batch(batch)

    def close(self) -> None:
        """Write the footer."""
        self._file.close()
