"""Arguments of the vocabulary's methods as the arrays that the core reads."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lar.errors import OptionError, VocabularyError


def as_ids(ids: ArrayLike) -> NDArray[np.uint32]:
    """`ids` as a contiguous and aligned uint32 array (n), as which it can be read in place.

    Raises:
        VocabularyError: an id is negative, no integer, or over 32 bits, or `ids` has not one dimension.
    """
    array = _as_list(ids, "ids", "integers", VocabularyError)
    if array.dtype == np.uint32:
        contiguous = np.ascontiguousarray(array)
        return contiguous if contiguous.flags.aligned else contiguous.copy()  # of `np.frombuffer`
    if array.size == 0:
        return np.zeros(0, dtype=np.uint32)
    if array.dtype.kind not in "iu":
        raise VocabularyError(f"ids must be integers, not {array.dtype}")
    if int(array.min()) < 0 or int(array.max()) > np.iinfo(np.uint32).max:
        raise VocabularyError("an id is negative or does not fit 32 bits")
    return np.ascontiguousarray(array, dtype=np.uint32)


def as_mask(action: ArrayLike) -> NDArray[np.bool_]:
    """`action` as a contiguous array of bools (n); OptionError where it is none of one dimension."""
    array = _as_list(action, "action", "bools", OptionError)
    if array.dtype != np.bool_:
        raise OptionError(f"action must hold bools, not {array.dtype}")
    return np.ascontiguousarray(array)


def as_offsets(offsets: ArrayLike) -> NDArray[np.int64]:
    """`offsets` as a contiguous int64 array (m + 1); OptionError where it is no list of such integers."""
    array = _as_list(offsets, "offsets", "integers", OptionError)
    if array.size and array.dtype.kind not in "iu":
        raise OptionError(f"offsets must hold integers, not {array.dtype}")
    if array.size and int(array.max()) > np.iinfo(np.int64).max:
        raise OptionError("an offset does not fit 64 bits")
    return np.ascontiguousarray(array, dtype=np.int64)


def _as_list(values: ArrayLike, name: str, kind: str, error: type[Exception]) -> NDArray[Any]:
    try:
        array = np.asarray(values)
    except (ValueError, OverflowError) as reason:  # lists within lists, of several lengths
        raise error(f"{name} must be a list of {kind}: {reason}") from None
    if array.ndim != 1:
        raise error(f"{name} must be a list, not an array of {array.ndim} dimensions")
    return array
