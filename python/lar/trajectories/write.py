"""Write trajectories to Parquet or JSONL as they come, and never half a file."""

import gzip
import json
import os
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import IO, Any, Protocol

import pyarrow as pa

from lar.errors import OptionError, TrajectoryError
from lar.trajectories.given import Given, as_trajectories
from lar.trajectories.groups import in_groups
from lar.trajectories.layouts.parquet import ParquetWriter, from_row, to_batch
from lar.trajectories.schema import Trajectory
from lar.utils.files import atomic_file
from lar.utils.paths import StrPath

GROUP_TRAJECTORIES = 1024
GROUP_CHARACTERS = 16 << 20  # of message text in one row group


class Writer(Protocol):
    """Writes trajectories to one file, group after group."""

    def write(self, trajectories: Sequence[Trajectory]) -> None:
        """Write a group."""

    def write_encoded(self, batches: list[pa.RecordBatch]) -> None:
        """Write a group that was encoded by the file's `Encoding`."""

    def close(self) -> None:
        """Finish the file."""


def write_trajectories(trajectories: Given, path: StrPath) -> int:
    """Write trajectories to one file, .parquet, .jsonl or .jsonl.gz, and return how many there were.

    `trajectories` are objects, or what else `Corpus.build` takes in memory: records, lists of messages, a
    table. The file appears whole when the last trajectory is written. After an error the old file is still
    there.

    Raises:
        OptionError: the path has another suffix.
        TrajectoryError: a trajectory cannot be written as JSON or Parquet, or is none; see `Corpus.build`.
        TypeError: `trajectories` is a path.

    >>> lar.write_trajectories(trajectories, folder / "logs.parquet")
    12
    >>> list(lar.read_trajectories(folder / "logs.parquet")) == trajectories
    True
    """
    if isinstance(trajectories, str | os.PathLike):
        raise TypeError("write_trajectories(trajectories, path): read a file by lar.read_trajectories first")
    path = Path(path)
    kind = output_kind(path)
    count = 0
    with atomic_file(path) as temporary, closing(open_writer(temporary, kind)) as writer:
        for group in in_groups(as_trajectories(trajectories), GROUP_TRAJECTORIES, GROUP_CHARACTERS):
            writer.write(group)
            count += len(group)
    return count


def open_writer(path: Path, kind: str) -> Writer:
    """A writer of the file `path` of the kind that `output_kind` gave."""
    return ParquetWriter(path) if kind == "parquet" else _LinesWriter(path, kind)


def output_kind(path: Path) -> str:
    """Return the suffix of `path`, which decides how it is written; raises OptionError for another suffix."""
    for kind in ("parquet", "jsonl", "jsonl.gz"):
        if path.name.endswith(f".{kind}"):
            return kind
    raise OptionError(f"{path}: the output must end in .parquet, .jsonl or .jsonl.gz")


class _LinesWriter:
    """One JSON object a line."""

    def __init__(self, path: Path, kind: str) -> None:
        self._raw = path.open("wb")
        # No name and no time in the header: the same trajectories give the same bytes.
        packed = gzip.GzipFile("", "wb", 6, self._raw, mtime=0) if kind == "jsonl.gz" else None
        self._file: IO[bytes] | gzip.GzipFile = packed or self._raw

    def write(self, trajectories: Sequence[Trajectory]) -> None:
        for trajectory in trajectories:
            self._file.write(to_line(trajectory))

    def write_encoded(self, batches: list[pa.RecordBatch]) -> None:
        for batch in batches:
            for line in batch.column("line"):
                self._file.write(line.as_buffer())

    def close(self) -> None:
        self._file.close()
        self._raw.close()


def to_line(trajectory: Trajectory) -> bytes:
    """The trajectory as one line of JSON.

    Raises:
        TrajectoryError: a text is not valid UTF-8, or a value is of no type that JSON has.
    """
    try:
        return json.dumps(trajectory.to_dict(), ensure_ascii=False).encode() + b"\n"
    except UnicodeEncodeError as error:
        raise TrajectoryError(f"a trajectory is not valid UTF-8: {error.reason}") from None
    except (TypeError, ValueError, RecursionError) as error:
        raise TrajectoryError(f"a trajectory cannot be written as JSON: {error}") from None


class Encoding(Protocol):
    """How trajectories are encoded, for one kind of file."""

    def encode(self, trajectories: Sequence[Trajectory]) -> pa.RecordBatch:
        """The trajectories as rows."""

    def decode(self, row: dict[str, Any]) -> Trajectory:
        """The trajectory of one of these rows."""


class _Rows:
    encode = staticmethod(to_batch)
    decode = staticmethod(from_row)


class _Lines:
    def encode(self, trajectories: Sequence[Trajectory]) -> pa.RecordBatch:
        return pa.RecordBatch.from_pydict({"line": pa.array(map(to_line, trajectories), pa.large_binary())})

    def decode(self, row: dict[str, Any]) -> Trajectory:
        return Trajectory(**json.loads(row["line"]))


def encoding_of(kind: str) -> Encoding:
    """How the trajectories of a file are encoded whose suffix is `kind`."""
    return _Rows() if kind == "parquet" else _Lines()
