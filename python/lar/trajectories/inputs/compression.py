"""Compressed bytes -> a stream of what they hold, up to the place where they break."""

import bz2
import importlib
import io
import lzma
import re
import zlib
from collections.abc import Callable
from typing import IO, TYPE_CHECKING, Any, Protocol

from lar.errors import MissingExtraError
from lar.utils.extras import install_command

if TYPE_CHECKING:
    from typing_extensions import Buffer  # collections.abc has it from Python 3.12 on

HEAD = 1 << 20  # bytes that are read to recognize a file
PACKED_PIECE = 1 << 15  # packed bytes that are unpacked at once; repetitive logs unpack to 100 times as many

_MAGIC = {
    "gzip": re.compile(rb"\x1f\x8b"),
    "zstandard": re.compile(rb"\x28\xb5\x2f\xfd"),
    "bzip2": re.compile(rb"BZh[1-9](?:1AY&SY|\x17\x72\x45\x38\x50\x90)"),
    "xz": re.compile(rb"\xfd7zXZ\x00"),
}
MAGIC_BYTES = 10  # the longest of them


class BrokenDataError(Exception):
    """Compressed data or an archive is cut off or damaged; what comes before was read."""


class Decompressor(Protocol):
    """What zlib, bz2, lzma and zstandard have in common: it unpacks one frame."""

    @property
    def eof(self) -> bool:
        """Whether the frame has ended."""

    @property
    def unused_data(self) -> bytes:
        """What was given behind the frame's end."""

    def decompress(self, data: bytes, /) -> bytes:
        """Unpack the frame's next bytes."""


def compression_of(magic: bytes) -> str | None:
    """The compression of a file that begins with `magic` (at least `MAGIC_BYTES`, or the whole file)."""
    return next((name for name, pattern in _MAGIC.items() if pattern.match(magic)), None)


def unpacked(packed: IO[bytes], compression: str, name: str) -> io.BufferedReader:
    """The stream of what `packed` holds in one frame or several; `name` is the file's, for an error.

    Raises:
        MissingExtraError: zstandard is not installed.
        BrokenDataError: while reading, where the data breaks; all bytes before that place can be read.
    """
    return io.BufferedReader(Pieces(Frames(packed.read, decompressor(compression, name)).read), HEAD)


def decompressor(compression: str, name: str) -> Callable[[], Decompressor]:
    """What makes a decompressor for each frame; raises MissingExtraError where its package is missing."""
    if compression == "zstandard":
        try:
            zstandard: Any = importlib.import_module("zstandard")
        except ImportError:
            raise MissingExtraError(
                f"{name}: reading .zst needs the package zstandard: {install_command('zstd')}"
            ) from None
        return lambda: zstandard.ZstdDecompressor().decompressobj()
    kinds: dict[str, Callable[[], Decompressor]] = {
        "gzip": lambda: zlib.decompressobj(wbits=31),
        "deflate": lambda: zlib.decompressobj(wbits=-15),
        "bzip2": bz2.BZ2Decompressor,
        "xz": lzma.LZMADecompressor,
    }
    return kinds[compression]


class Pieces(io.RawIOBase):
    """A raw stream of what `read(size)` returns, at most `size` bytes; b"" is the end."""

    def __init__(self, read: Callable[[int], bytes]) -> None:
        self._read = read

    def readable(self) -> bool:
        """True."""
        return True

    def readinto(self, buffer: "Buffer", /) -> int:
        """Fill the start of `buffer` and return how many bytes that were."""
        view = memoryview(buffer)
        data = self._read(len(view))
        view[: len(data)] = data
        return len(data)


class Frames:
    """Unpacks frames one after the other, or the first alone. A piece is returned as soon as it is there."""

    def __init__(
        self, read_packed: Callable[[int], bytes], new: Callable[[], Decompressor], single: bool = False
    ) -> None:
        self._read_packed = read_packed
        self._new = new
        self._single = single
        self._frame = new()
        self._data = memoryview(b"")

    def read(self, size: int) -> bytes:
        """At most `size` unpacked bytes; b"" at the end."""
        while not self._data:
            if self._frame.eof and self._single:
                return b""
            packed = self._frame.unused_data.lstrip(b"\0") if self._frame.eof else b""  # zeros are padding
            packed = packed or self._read_packed(PACKED_PIECE)
            if not packed and self._frame.eof:
                return b""
            if not packed:
                raise BrokenDataError("the data is cut off")
            if self._frame.eof:
                packed = packed.lstrip(b"\0")
                self._frame = self._new() if packed else self._frame
            self._data = memoryview(self._unpack(packed) if packed else b"")
        piece, self._data = self._data[:size], self._data[size:]
        return bytes(piece)

    def _unpack(self, packed: bytes) -> bytes:
        try:
            return self._frame.decompress(packed)
        except MemoryError:
            raise
        except Exception as error:  # each package has an error of its own; bz2 raises OSError
            raise BrokenDataError(str(error)) from None


class Breakable:
    """Reads a stream that may break: `read` gives all that comes before the break, and raises behind it.

    The buffered reader's own `read` would lose what it has read when the break comes.
    """

    def __init__(self, stream: IO[bytes]) -> None:
        self._read_some = getattr(stream, "read1", stream.read)
        self.seekable = stream.seekable
        self.error: BrokenDataError | None = None

    def read(self, size: int) -> bytes:
        """`size` bytes; fewer, and b"" at last, at the end; raises BrokenDataError at a break."""
        if self.error is not None:
            raise self.error
        parts: list[bytes] = []
        left = size
        try:
            while left and (part := self._read_some(left)):
                parts.append(part)
                left -= len(part)
        except BrokenDataError as error:
            if not parts:
                raise
            self.error = error
        return b"".join(parts)


class Replayed:
    """A stream whose first bytes, `head`, were read already: they are returned once more."""

    def __init__(self, stream: IO[bytes], size: int) -> None:
        self._stream = Breakable(stream)
        self.head = self._stream.read(size)
        self._rest = memoryview(self.head)

    @property
    def broken(self) -> BrokenDataError | None:
        """Why the stream breaks, once the reading came there."""
        return self._stream.error

    def read(self, size: int) -> bytes:
        """At most `size` bytes; b"" at the end."""
        if self._rest:
            piece, self._rest = self._rest[:size], self._rest[size:]
            return bytes(piece)
        return self._stream.read(size)
