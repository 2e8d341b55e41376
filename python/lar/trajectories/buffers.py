"""Arrow arrays out of numpy's, and of texts.

`pyarrow.array` imports pandas where that is installed, which takes 0.3 s in each process.
"""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray


def flags(values: NDArray[np.bool_], valid: NDArray[np.bool_] | None = None) -> pa.Array:
    """Bool (n) as an Arrow array; null where `valid`, bool (n), is false."""
    return pa.Array.from_buffers(
        pa.bool_(), len(values), [None if valid is None else _bits(valid), _bits(values)]
    )


def numbers(values: NDArray[np.int64]) -> pa.Array:
    """int64 (n) as an Arrow array."""
    return pa.Array.from_buffers(pa.int64(), len(values), [None, pa.py_buffer(values)])


def texts(values: Sequence[str | None]) -> pa.Array:
    """Texts as an Arrow array; raises UnicodeEncodeError for one that is not valid UTF-8."""
    encoded = [b"" if value is None else value.encode() for value in values]
    offsets = np.zeros(len(encoded) + 1, np.int32)
    np.cumsum(np.fromiter(map(len, encoded), np.int32, len(encoded)), out=offsets[1:])
    valid = _bits(np.array([value is not None for value in values], np.bool_)) if None in values else None
    parts = [valid, pa.py_buffer(offsets), pa.py_buffer(b"".join(encoded))]
    return pa.Array.from_buffers(pa.string(), len(encoded), parts)


def _bits(values: NDArray[np.bool_]) -> pa.Buffer:
    return pa.py_buffer(np.packbits(values, bitorder="little"))
