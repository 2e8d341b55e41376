"""Windows: how a conversation longer than a model may read at a time is read in parts.

The windows of a conversation hold all that its agent said, each token once. A window keeps the conversation's
head (a quarter of it: the system prompt, which says what the agent is to do), then a stretch whose first part
(another quarter) only gives context. Cutting at the end instead would drop most of what an agent says late
in a long task. What lies between is missing; so is what others say far from the agent's next turn.

Windows are a matter of base tokens and of who said them, never of a vocabulary: every model and every arm of
an experiment reads the same text, and what a teacher said of a position once holds for all later runs.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Window:
    """Positions [0, head) and [begin, end) of a conversation; new are those of [new, end).

    head <= begin <= new < end. Positions before `new` are there to be read. Where a window ends within a turn
    of the agent, the next one holds what stands from `next_begin` on.
    """

    head: int
    begin: int
    new: int
    end: int
    next_begin: int

    def __len__(self) -> int:
        """Tokens in the window."""
        return self.head + self.end - self.begin

    def positions(self) -> NDArray[np.int64]:
        """The window's positions in the conversation, in order."""
        return np.concatenate([np.arange(self.head), np.arange(self.begin, self.end)])


def windows(action: NDArray[np.bool_], max_length: int) -> Iterator[Window]:
    """Yield the windows, at most `max_length` long, of a conversation whose agent's mask is `action` (n).

    Each of the agent's tokens is new in exactly one of them, but for a conversation's very first token, which
    nothing stands before. A window ends where a turn of the agent does, if that leaves half of it.
    """
    edges = np.flatnonzero(np.diff(action, prepend=False, append=False).astype(np.int8))
    begins, ends = edges[::2], edges[1::2]  # of the agent's turns
    head, context, new = 0, 0, 1
    while (turn := int(np.searchsorted(ends, new, side="right"))) < len(ends):
        new = max(new, int(begins[turn]))
        if new > max_length // 2:
            head, context = max_length // 4, new - max_length // 4
        end = _end(begins, ends, new, context + max_length - head)
        yield Window(head, context, new, end, end - max_length // 4)
        new = end


def _end(begins: NDArray[np.int64], ends: NDArray[np.int64], new: int, limit: int) -> int:
    """Where a window ends that may reach to `limit`: behind a turn, or within one that is too long."""
    whole = int(np.searchsorted(ends, limit, side="right")) - 1  # the last turn that fits
    cut = whole + 1 < len(begins) and begins[whole + 1] < limit  # the next one begins in here
    if whole >= 0 and ends[whole] > new and not (cut and ends[whole] - new < (limit - new) // 2):
        return int(ends[whole])
    return limit
