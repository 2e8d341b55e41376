"""Finding trajectory files and opening them, compressed or not."""

import gzip
import importlib
import io
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from lar.errors import MissingExtraError, TrajectoryError

GZIP = b"\x1f\x8b"
ZSTANDARD = b"\x28\xb5\x2f\xfd"
PARQUET = b"PAR1"
HEAD = 1 << 20  # bytes that are looked at to recognise a file

# What a broken compressed file raises while it is read (BadGzipFile is an OSError of its own).
BROKEN_COMPRESSION = (EOFError, zlib.error, gzip.BadGzipFile)


@dataclass(frozen=True, slots=True)
class Source:
    """A file to read, its size in bytes, and the short name that its trajectories get as their source."""

    path: Path
    label: str
    size: int


def find_sources(paths: str | Path | Iterable[str | Path]) -> list[Source]:
    """List the files of `paths`; a folder gives all files in it, sorted, hidden ones left out.

    Raises FileNotFoundError for a path that is not there and TrajectoryError for one that is neither file nor
    folder.
    """
    given = [paths] if isinstance(paths, str | Path) else list(paths)
    return [source for path in given for source in _sources_of(Path(path))]


def _sources_of(path: Path) -> Iterator[Source]:
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file or folder")
    if path.is_file():
        yield Source(path, path.name, path.stat().st_size)
        return
    if not path.is_dir():
        raise TrajectoryError(f"{path}: neither a file nor a folder")
    for file in sorted(path.rglob("*")):
        relative = file.relative_to(path)
        if file.is_file() and not any(part.startswith(".") for part in relative.parts):
            yield Source(file, f"{path.name}/{relative.as_posix()}", file.stat().st_size)


@contextmanager
def open_bytes(source: Source) -> Iterator[tuple[IO[bytes], IO[bytes]]]:
    """Yield (decompressed bytes, the file itself); the file's position tells how far reading has come."""
    with source.path.open("rb") as raw:
        magic = raw.read(4)
        raw.seek(0)
        if magic.startswith(GZIP):
            with gzip.GzipFile(fileobj=raw) as unpacked:
                yield io.BufferedReader(unpacked, HEAD), raw
        elif magic == ZSTANDARD:
            yield _open_zstandard(raw, source.path), raw
        else:
            yield raw, raw


def _open_zstandard(raw: IO[bytes], path: Path) -> IO[bytes]:
    try:
        zstandard = importlib.import_module("zstandard")
    except ImportError:
        raise MissingExtraError(f"{path}: reading .zst needs the package zstandard") from None
    reader = zstandard.ZstdDecompressor().stream_reader(raw, read_across_frames=True)
    return io.BufferedReader(_ZstandardErrors(reader), HEAD)  # type: ignore[type-var]


class _ZstandardErrors(io.RawIOBase):
    """Reads through zstandard and raises EOFError where its data is broken, as gzip does."""

    def __init__(self, reader: IO[bytes]) -> None:
        self._reader = reader

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray) -> int:  # type: ignore[override]
        try:
            data = self._reader.read(len(buffer))
        except Exception as error:  # zstandard.ZstdError cannot be named without the package
            raise EOFError(f"broken zstandard data: {error}") from error
        buffer[: len(data)] = data
        return len(data)


def read_head(source: Source) -> bytes:
    """Return the first `HEAD` bytes of the decompressed file; fewer where it is short or breaks off."""
    parts: list[bytes] = []
    try:
        with open_bytes(source) as (stream, _):
            while (size := sum(map(len, parts))) < HEAD and (part := stream.read(min(HEAD - size, 1 << 16))):
                parts.append(part)
    except BROKEN_COMPRESSION:
        if not parts:
            raise
    return b"".join(parts)
