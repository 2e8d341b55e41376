"""Segments of base ids as flat arrays, the form in which the core takes and returns them."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False, slots=True)
class Segments:
    """k segments: segment i is tokens[offsets[i]:offsets[i + 1]]. Iteration yields uint32 arrays.

    tokens: the base ids of all segments, end to end, uint32 (n).
    offsets: the begin of each segment, and the end of the last, int64 (k + 1).
    """

    tokens: NDArray[np.uint32]
    offsets: NDArray[np.int64]

    @classmethod
    def of(cls, segments: Iterable[Sequence[int]]) -> "Segments":
        """The flat arrays of `segments`, each a sequence of base ids."""
        listed = list(segments)
        tokens = np.array([token for segment in listed for token in segment], dtype=np.uint32)
        return cls(tokens, np.cumsum([0, *map(len, listed)], dtype=np.int64))

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, index: int) -> NDArray[np.uint32]:
        start, end = self.offsets[range(len(self))[index] :][:2]
        return self.tokens[start:end]

    def __iter__(self) -> Iterator[NDArray[np.uint32]]:
        for start, end in pairwise(self.offsets.tolist()):
            yield self.tokens[start:end]

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Number of base ids of each segment; int64 (k)."""
        return np.diff(self.offsets)

    def to_lists(self) -> list[list[int]]:
        """Each segment as a list of base ids."""
        flat: list[int] = self.tokens.tolist()
        return [flat[start:end] for start, end in pairwise(self.offsets.tolist())]
