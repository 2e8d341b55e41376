"""Finding trajectory files and opening them, compressed or not."""

import gzip
import importlib
import io
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from lar.errors import MissingExtraError, TrajectoryError
from lar.trajectories import opencode_storage, remote
from lar.trajectories.folders import HIDDEN_LOGS, logs_among
from lar.utils.paths import StrPath

if TYPE_CHECKING:
    from typing_extensions import Buffer  # collections.abc has it from Python 3.12 on

GZIP = b"\x1f\x8b"
ZSTANDARD = b"\x28\xb5\x2f\xfd"
PARQUET = b"PAR1"
HEAD = 1 << 20  # bytes that are read to recognize a file

# What a broken compressed file raises while it is read (BadGzipFile is an OSError of its own).
BROKEN_COMPRESSION = (EOFError, zlib.error, gzip.BadGzipFile)


@dataclass(frozen=True, slots=True)
class Source:
    """A file to read, its size in bytes, and the short name that its trajectories get as their source.

    `path` is a URL where fsspec reads the file, by the file system `system`.
    """

    path: Path | str
    label: str
    size: int
    system: Any = None

    @property
    def full_name(self) -> str:
        """The whole path or URL."""
        return self.path if isinstance(self.path, str) else self.path.as_posix()

    def open(self) -> io.BufferedReader:
        """The file's bytes as they are stored, buffered."""
        if isinstance(self.path, str):
            return remote.open_file(self.path, self.system)
        if self.path.is_dir():
            return opencode_storage.open_session(self.path)
        return self.path.open("rb")


def find_sources(paths: Iterable[StrPath]) -> list[Source]:
    """List the files of `paths`, which may be URLs; a folder gives all its files, sorted, but hidden ones.

    Labels are short, and no two files have the same one.

    Raises:
        FileNotFoundError: a path is not there.
        TrajectoryError: a path is neither a file nor a folder, or a URL cannot be listed.
        MissingExtraError: the protocol of a URL needs a package.
    """
    sources = [source for path in paths for source in _sources_of(path)]
    times = Counter(source.label for source in sources)
    return [
        source if times[source.label] == 1 else replace(source, label=source.full_name) for source in sources
    ]


def _sources_of(given: StrPath) -> Iterator[Source]:
    if remote.is_url(given):
        name = given.rstrip("/").rpartition("/")[2]
        for url, inner, size, system in remote.list_files(given):
            yield Source(url, f"{name}/{inner}" if inner else name, size, system)
        return
    path = Path(given)
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file or folder")
    if path.is_file():
        yield Source(path, path.name, path.stat().st_size)
        return
    if not path.is_dir():
        raise TrajectoryError(f"{path}: neither a file nor a folder")
    files = [file for file in sorted(path.rglob("*")) if file.is_file() and not _is_hidden(file, path)]
    for file in logs_among(files):
        relative = file.relative_to(path)
        yield Source(file, f"{path.name}/{relative.as_posix()}", file.stat().st_size)


def _is_hidden(file: Path, folder: Path) -> bool:
    parts = file.relative_to(folder).parts
    return any(part.startswith(".") for part in (parts[:-1] if file.name in HIDDEN_LOGS else parts))


@contextmanager
def open_bytes(source: Source) -> Iterator[tuple[IO[bytes], IO[bytes]]]:
    """Yield the decompressed bytes and the file itself, whose position is the progress of the reading."""
    with source.open() as raw:
        magic = raw.peek(4)[:4]
        if magic.startswith(GZIP):
            with gzip.GzipFile(fileobj=raw) as unpacked:
                yield io.BufferedReader(_Pieces(unpacked.read1), HEAD), raw
        elif magic == ZSTANDARD:
            yield io.BufferedReader(_Pieces(_ZstandardPieces(raw, source.full_name).read), HEAD), raw
        else:
            yield raw, raw


class _Pieces(io.RawIOBase):
    """Returns data as soon as it is unpacked, so that everything before a broken place can be read."""

    def __init__(self, read: Callable[[int], bytes]) -> None:
        self._read = read

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "Buffer", /) -> int:
        view = memoryview(buffer)
        data = self._read(len(view))
        view[: len(data)] = data
        return len(data)


class _ZstandardPieces:
    """Unpacks zstandard frames one after the other. The package's own reader does not detect a cut one."""

    def __init__(self, raw: IO[bytes], path: str) -> None:
        try:
            self._zstandard: Any = importlib.import_module("zstandard")
        except ImportError:
            raise MissingExtraError(f"{path}: reading .zst needs the package zstandard") from None
        self._raw = raw
        self._frame = self._zstandard.ZstdDecompressor().decompressobj()
        self._data = b""

    def read(self, size: int) -> bytes:
        while not self._data:
            packed = self._frame.unused_data if self._frame.eof else b""
            packed = packed or self._raw.read(1 << 16)
            if not packed:
                if self._frame.eof:
                    return b""
                raise EOFError("the last zstandard frame is cut off")
            if self._frame.eof:
                self._frame = self._zstandard.ZstdDecompressor().decompressobj()
            try:
                self._data = self._frame.decompress(packed)
            except self._zstandard.ZstdError as error:
                raise EOFError(str(error)) from None
        piece, self._data = self._data[:size], self._data[size:]
        return piece


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
