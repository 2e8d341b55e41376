"""Read Arrow files (`.arrow`, `.feather`), as `datasets` and others write them: streams, and the file format.

The package `datasets` is not needed: its files are Arrow streams, and pyarrow reads those.
"""

from collections.abc import Iterator
from typing import IO

import pyarrow as pa

from lar.trajectories.layouts.record import BrokenRecordError, Record
from lar.trajectories.layouts.rows import rows_of_batch

_FILE = b"ARROW1\0\0"  # begins the file format: a stream follows, and a table of its batches
_STREAM = b"\xff\xff\xff\xff"
_END = b"\xff\xff\xff\xff\0\0\0\0"  # ends a stream


def is_arrow(head: bytes) -> bool:
    """Whether `head`, the first bytes of a file, begins one of Arrow's."""
    return head.startswith((_FILE, _STREAM))


def read_rows(stream: IO[bytes]) -> Iterator[Record]:
    """Yield each row as a record; raises BrokenRecordError at the row from which the file cannot be read.

    One record batch of the file is in memory at a time.
    """
    number = 0
    try:
        head = stream.read(len(_FILE))
        source = _Source(b"" if head == _FILE else head, stream)
        with pa.ipc.open_stream(source) as batches:
            for batch in batches:
                for row in rows_of_batch(batch):
                    number += 1
                    yield Record(row, number)
    except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
        raise BrokenRecordError(f"not a readable Arrow file: {error}", None, number + 1) from error
    if source.tail != _END:
        raise BrokenRecordError("the Arrow file is cut off", None, number + 1)


class _Source:
    """Gives `head`, which was read of the stream already, and then the stream.

    `tail` is the last bytes read: a file that is cut between two batches looks whole to pyarrow.
    """

    def __init__(self, head: bytes, stream: IO[bytes]) -> None:
        self._head = head
        self._stream = stream
        self.tail = b""
        self.closed = False

    def read(self, size: int = -1) -> bytes:
        head, self._head = (self._head, b"") if size < 0 else (self._head[:size], self._head[size:])
        data = head + self._stream.read(size if size < 0 else size - len(head))
        self.tail = (self.tail + data[-len(_END) :])[-len(_END) :]
        return data

    def close(self) -> None:
        self.closed = True
