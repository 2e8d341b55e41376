"""Write trajectories to Parquet or JSONL as they come, and never half a file."""

import gzip
import json
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Protocol

from lar.errors import OptionError
from lar.trajectories.groups import in_groups
from lar.trajectories.parquet import ParquetWriter
from lar.trajectories.schema import Trajectory
from lar.utils.files import atomic_file
from lar.utils.paths import StrPath

GROUP_TRAJECTORIES = 1024
GROUP_CHARACTERS = 16 << 20  # of message text in one row group


class _Writer(Protocol):
    def write(self, trajectories: list[Trajectory]) -> None: ...
    def close(self) -> None: ...


def write_trajectories(trajectories: Iterable[Trajectory], path: StrPath) -> int:
    """Write trajectories to one file, .parquet, .jsonl or .jsonl.gz, and return how many there were.

    The file appears whole when the last trajectory is written. After an error the old file is still there.

    Raises:
        OptionError: the path has another suffix.
        TrajectoryError: a trajectory does not fit the Parquet schema.

    >>> lar.write_trajectories(trajectories, folder / "logs.parquet")
    12
    >>> list(lar.read_trajectories(folder / "logs.parquet")) == trajectories
    True
    """
    path = Path(path)
    kind = output_kind(path)
    count = 0
    with atomic_file(path) as temporary:
        writer: _Writer = ParquetWriter(temporary) if kind == "parquet" else _LinesWriter(temporary, kind)
        try:
            for group in in_groups(trajectories, GROUP_TRAJECTORIES, GROUP_CHARACTERS):
                writer.write(group)
                count += len(group)
        finally:
            writer.close()
    return count


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

    def write(self, trajectories: list[Trajectory]) -> None:
        for trajectory in trajectories:
            self._file.write(json.dumps(trajectory.to_dict(), ensure_ascii=False).encode() + b"\n")

    def close(self) -> None:
        self._file.close()
        self._raw.close()
