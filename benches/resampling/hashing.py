"""Random draws without a state: 64-bit hashes of keys, over whole arrays."""

import numpy as np
from numpy.typing import NDArray

Hashes = NDArray[np.uint64]
Indices = NDArray[np.int64]


def mixed(values: Hashes) -> Hashes:
    """A permutation of the 64-bit numbers that looks random (the finalizer of SplitMix64)."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def uniform(draws: Hashes) -> NDArray[np.float64]:
    """Floats in [0, 1) from the upper 53 bits."""
    return (draws >> np.uint64(11)).astype(np.float64) * 2.0**-53


def below(draws: Hashes, bounds: Indices) -> Indices:
    """Integers from 0 to `bounds` - 1; the bias is below `bounds` / 2^64."""
    return (draws % bounds.astype(np.uint64)).astype(np.int64)


def distinct(*keys: NDArray[np.integer]) -> Indices:
    """The first index of each distinct tuple of keys (arrays of one length)."""
    hashes = np.zeros(len(keys[0]), dtype=np.uint64)
    for key in keys:
        hashes = mixed(hashes + key.astype(np.uint64) + np.uint64(1))
    return np.unique(hashes, return_index=True)[1]


def pieces(starts: Indices, lengths: Indices) -> Indices:
    """The indices start, start + 1, ... of pieces of these starts and lengths, concatenated."""
    stops = np.cumsum(lengths)
    return np.repeat(starts - stops + lengths, lengths) + np.arange(stops[-1] if len(stops) else 0)
