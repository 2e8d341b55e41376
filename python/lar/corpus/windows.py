"""Windows: the parts in which a model reads a conversation that is too long for it.

A conversation that fits is one window. Else, together the windows contain all of the agent's tokens. A window
begins with the conversation's head (a quarter of the window: the system prompt with the agent's
instructions). Then comes a stretch of the conversation, whose first part (another quarter) is context.
Cutting conversations at the end would lose most of what an agent generates late in a long task. The tokens
between the head and the stretch are left out, and so are other speakers' tokens far from the agent's next
turn.

Windows depend only on the base tokens and the agent's mask, and not on a vocabulary. So every model and
every arm of an experiment reads the same text, and a teacher's scores can be used in all later runs.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

# The least `max_length`, here and in training. Below 4, a window has no head, and nothing may be before its
# first new token.
LEAST_LENGTH = 8


@dataclass(frozen=True, slots=True)
class Window:
    """Positions [0, head) and [begin, end) of a conversation, of which [new, end) are new.

    head <= begin <= new < end. Positions before `new` are context. Where a window ends within a turn of the
    agent, the next one contains the positions from `next_begin` to `next_end`, or to the end of the turn.
    """

    head: int
    begin: int
    new: int
    end: int
    next_begin: int
    next_end: int = field(repr=False)  # of what is given otherwise; checkpoints have a digest of the rest

    def __len__(self) -> int:
        """Number of tokens in the window."""
        return self.head + self.end - self.begin

    def positions(self) -> NDArray[np.int64]:
        """The window's positions in the conversation, in order; int64 (n)."""
        return np.concatenate([np.arange(self.head), np.arange(self.begin, self.end)])


def windows(action: NDArray[np.bool_], max_length: int) -> Iterator[Window]:
    """Yield the windows, at most `max_length` long, of a conversation whose agent's mask is `action` (n).

    Each of the agent's tokens is new in exactly one of them, except a conversation's first token, which has
    nothing before it. A window ends at the end of an agent's turn, unless that leaves less than half of its
    room for new tokens.
    """
    edges = np.flatnonzero(np.diff(action, prepend=False, append=False).astype(np.int8))
    begins, ends = edges[::2], edges[1::2]  # of the agent's turns
    head, context, new = 0, 0, 1
    while (turn := int(np.searchsorted(ends, new, side="right"))) < len(ends):
        new = max(new, int(begins[turn]))
        if new > max_length // 2 and ends[-1] > max_length:
            head, context = max_length // 4, new - max_length // 4
        end = _end(begins, ends, new, context + max_length - head)
        next_begin = end - max_length // 4
        yield Window(head, context, new, end, next_begin, next_begin + max_length - max_length // 4)
        new = end


def _end(begins: NDArray[np.int64], ends: NDArray[np.int64], new: int, limit: int) -> int:
    """The end of a window that may reach to `limit`: that of a turn, or within a turn that is too long."""
    whole = int(np.searchsorted(ends, limit, side="right")) - 1  # the last turn that fits
    cut = whole + 1 < len(begins) and begins[whole + 1] < limit  # the next one begins before the limit
    if whole >= 0 and ends[whole] > new and not (cut and ends[whole] - new < (limit - new) // 2):
        return int(ends[whole])
    return limit
