"""Text in UTF-16 or UTF-32, as PowerShell and editors of Windows write it -> UTF-8."""

import codecs
import io

from lar.trajectories.inputs.compression import HEAD, PACKED_PIECE, Breakable, Pieces

# By the bytes a file begins with: a byte order mark, or the first character of JSON. The longest come first.
_ENCODINGS = {
    codecs.BOM_UTF32_LE: "utf-32-le",
    codecs.BOM_UTF32_BE: "utf-32-be",
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
    **{f"{first}".encode(encoding): encoding for first in "{[" for encoding in ("utf-16-le", "utf-16-be")},
}
_LONGEST = 4
_NOT_UTF8 = b"\xff"


def decoded(stream: io.BufferedReader) -> tuple[str | None, io.BufferedReader]:
    """The encoding of a stream that is UTF-16 or UTF-32, and the stream in UTF-8; None and any other stream.

    What cannot be decoded is no UTF-8 either: it is refused, or repaired, with the text that holds it.
    """
    start = stream.peek(_LONGEST)
    for first, encoding in _ENCODINGS.items():
        if start.startswith(first):
            return encoding, io.BufferedReader(Pieces(_Decoded(stream, encoding).read), HEAD)
    return None, stream


class _Decoded:
    """Reads UTF-8 out of a stream in another encoding."""

    def __init__(self, stream: io.BufferedReader, encoding: str) -> None:
        self._stream = Breakable(stream)
        self._decoder = codecs.getincrementaldecoder(encoding)("surrogatepass")
        self._data = memoryview(b"")
        self._is_first = True
        self._at_end = False

    def read(self, size: int) -> bytes:
        """At most `size` bytes; b"" at the end."""
        while not self._data and not self._at_end:
            self._data = memoryview(self._next())
        piece, self._data = self._data[:size], self._data[size:]
        return bytes(piece)

    def _next(self) -> bytes:
        packed = self._stream.read(PACKED_PIECE)
        self._at_end = not packed
        if self._at_end and self._decoder.getstate()[0]:  # half a character: the file is cut off
            return _NOT_UTF8
        try:
            text = self._decoder.decode(packed)
        except UnicodeDecodeError:
            self._at_end = True
            return _NOT_UTF8
        if text and self._is_first:
            text, self._is_first = text.removeprefix("\ufeff"), False
        return text.encode("utf-8", "surrogatepass")
