"""All substrings of runs, with the places where each occurs."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lar import _core


@dataclass(frozen=True)
class Text:
    """Distinct runs end to end: run i is tokens[offsets[i]:offsets[i + 1]] and occurs counts[i] times.

    low, high: of each run the smallest and the largest label of its parts. A label is a task's number, or
    that of a side of a split. A substring is allowed if it occurs under two labels.
    """

    tokens: NDArray[np.int64]
    offsets: NDArray[np.int64]
    counts: NDArray[np.int64]
    low: NDArray[np.int64]
    high: NDArray[np.int64]

    @classmethod
    def of_tasks(cls, runs: _core.Runs) -> "Text":
        """The runs, labelled by their tasks: substrings of two tasks are allowed."""
        tokens, offsets, counts, tasks, task_offsets = runs.to_arrays()
        low, high = tasks[task_offsets[:-1]], tasks[task_offsets[1:] - 1]
        return cls(*(array.astype(np.int64) for array in (tokens, offsets, counts, low, high)))

    def of_any(self) -> "Text":
        """The same runs; every substring is allowed."""
        zeros = np.zeros_like(self.counts)
        return Text(self.tokens, self.offsets, self.counts, zeros, zeros + 1)

    def seen_in(self, training: "Text") -> "Text":
        """These runs, then those of `training` with a count of zero: substrings of both sides are allowed."""
        ours, theirs = len(self.counts), len(training.counts)
        label = np.repeat([1, 0], [ours, theirs])
        return Text(
            np.concatenate([self.tokens, training.tokens]),
            np.concatenate([self.offsets, self.offsets[-1] + training.offsets[1:]]),
            np.concatenate([self.counts, np.zeros(theirs, np.int64)]),
            label,
            label,
        )

    @property
    def weights(self) -> NDArray[np.int64]:
        """The count of each token's run; int64 (n)."""
        return np.repeat(self.counts, np.diff(self.offsets))


@dataclass(frozen=True)
class Substrings:
    """Distinct substrings: number i has lengths[i] tokens and begins at starts[offsets[i]:offsets[i + 1]].

    All others of the text could save at most `least` units, at all their occurrences together.
    """

    starts: NDArray[np.int64]
    offsets: NDArray[np.int64]
    lengths: NDArray[np.int64]
    least: float

    @classmethod
    def find(cls, text: Text, longest: int, least: float, most: int) -> "Substrings | None":
        """The allowed substrings of 2 to `longest` tokens with count x (length - 1) above `least`.

        They are grown token by token. A substring is given up, with all that begin with it, once its count
        is too small for the longest of them. Occurrences in runs of count zero are left out. None if there
        are more than `most` occurrences.
        """
        levels = _Levels(text, longest, least)
        found: list[tuple[NDArray[np.int64], NDArray[np.int64]]] = []
        for length in range(2, longest + 1):
            found.append(levels.grow(length))
            most -= len(found[-1][0])
            if most < 0:
                return None
        sizes = np.concatenate([sizes for _, sizes in found])
        return cls(
            starts=np.concatenate([starts for starts, _ in found]),
            offsets=np.concatenate([[0], np.cumsum(sizes)]),
            lengths=np.repeat(np.arange(2, longest + 1), [len(sizes) for _, sizes in found]),
            least=least,
        )

    def __len__(self) -> int:
        return len(self.lengths)

    def subset(self, chosen: NDArray[np.bool_]) -> "Substrings":
        """Those for which `chosen` is true."""
        sizes = np.diff(self.offsets)
        offsets = np.concatenate([[0], np.cumsum(sizes[chosen])])
        return Substrings(self.starts[np.repeat(chosen, sizes)], offsets, self.lengths[chosen], self.least)

    def segments(self, text: Text) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
        """All, ascending by their ids: segment i is tokens[offsets[i]:offsets[i + 1]]."""
        firsts = self.starts[self.offsets[:-1]]
        ends = firsts + self.lengths
        found = sorted(text.tokens[a:b].tolist() for a, b in zip(firsts, ends, strict=True))
        offsets = np.concatenate([[0], np.cumsum([len(segment) for segment in found])]).astype(np.int64)
        return np.array([token for segment in found for token in segment], dtype=np.uint32), offsets


class _Levels:
    """The occurrences of all substrings of one length that are still worth growing, equal ones together."""

    def __init__(self, text: Text, longest: int, least: float) -> None:
        lengths = np.diff(text.offsets)
        self._ends = np.repeat(text.offsets[1:], lengths)
        self._low, self._high = np.repeat(text.low, lengths), np.repeat(text.high, lengths)
        self._weights = text.weights
        self._tokens = np.unique(text.tokens, return_inverse=True)[1].astype(np.int64)
        self._longest, self._least = longest, least
        self._starts = np.arange(len(self._tokens))
        self._groups = self._tokens

    def grow(self, length: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The places of the substrings of `length` tokens, and the number of places of each."""
        inside = self._starts + length <= self._ends[self._starts]
        starts, groups = self._starts[inside], self._groups[inside]
        if len(starts) == 0:
            self._starts, self._groups = starts, groups
            return starts, starts
        keys = groups * (self._tokens.max() + 1) + self._tokens[starts + length - 1]
        order = np.argsort(keys, kind="stable")
        starts, keys = starts[order], keys[order]
        firsts = np.flatnonzero(np.append(True, keys[1:] != keys[:-1]))
        sizes = np.diff(np.append(firsts, len(starts)))
        counts = np.add.reduceat(self._weights[starts], firsts)
        low, high = self._low[starts], self._high[starts]
        allowed = np.minimum.reduceat(low, firsts) < np.maximum.reduceat(high, firsts)
        grown = np.repeat(allowed & (counts * (self._longest - 1) > self._least), sizes)
        numbers = np.repeat(np.arange(len(sizes)), sizes)
        self._starts, self._groups = starts[grown], numbers[grown]
        kept = np.repeat(allowed & (counts * (length - 1) > self._least), sizes)
        kept &= self._weights[starts] > 0
        sizes_kept = np.bincount(numbers[kept], minlength=len(sizes))
        return starts[kept], sizes_kept[sizes_kept > 0]


def saved_by_best_parse(text: Text, tokens: NDArray[np.uint32], offsets: NDArray[np.int64]) -> int:
    """Units fewer than tokens in the shortest parse of `text` by the segments tokens[offsets[i]:...]."""
    trie: dict[int, Any] = {}
    for start, end in pairwise(offsets.tolist()):
        node = trie
        for token in tokens[start:end].tolist():
            node = node.setdefault(token, {})
        node[_END] = {}
    runs = zip(pairwise(text.offsets.tolist()), text.counts.tolist(), strict=True)
    return sum(count * _best(text.tokens[start:end].tolist(), trie) for (start, end), count in runs if count)


_END = -1  # the key of a trie's node where a segment ends; no token has it


def _best(run: list[int], trie: dict[int, Any]) -> int:
    """Most units that a parse of one run can save, from its last token to its first."""
    saved = [0] * (len(run) + 1)
    for start in range(len(run) - 1, -1, -1):
        saved[start] = saved[start + 1]
        node = trie
        for end in range(start, len(run)):
            if run[end] not in node:
                break
            node = node[run[end]]
            if _END in node:
                saved[start] = max(saved[start], end - start + saved[end + 1])
    return saved[0]
