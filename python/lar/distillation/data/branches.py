"""Rows for students that read base tokens and write latents: a turn's units branch off before its tokens.

The row begins with the conversation in base tokens, as the teacher reads it. Behind it stand the units of
each turn of the agent. A unit sees the conversation up to its turn's first token and the turn's units before
it, and nothing else sees it; so all turns of a window are learnt in one pass. That holds for units too that
no loss falls on: the context with which a window begins, or the first token of a latent that is spelled out.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lar.corpus.windows import Window

_Ints = NDArray[np.int64]


class Branched(NamedTuple):
    """The student's row for one window: the n base tokens, then the units of branches, r - n of them.

    ids, positions: int64 (r), what the model reads, and where. branch: int64 (r), 0 for the conversation and
    from 1 for the branches. sees: int64 (r), how many of the base tokens a unit of a branch sees; 0 for those
    of the conversation, which see those before them. predicts: int64 (t), the place in the row of the hidden
    state that predicts each supervised unit.
    """

    ids: _Ints
    positions: _Ints
    branch: _Ints
    sees: _Ints
    predicts: _Ints


def branched(units: _Ints, tokens: _Ints, starts: _Ints, turns: _Ints, supervised: _Ints) -> Branched:
    """The row for a window; `turns` is what `turn_numbers` returns, all others are fields of `Example`."""
    ids, positions = [tokens], [np.arange(len(tokens))]
    branch, sees = [np.zeros(len(tokens), np.int64)], [np.zeros(len(tokens), np.int64)]
    predicts, length = [], len(tokens)
    for number, (first, last, chosen) in enumerate(_learnt(turns[starts], supervised), start=1):
        start = int(starts[first])
        lead = _common(units[first : last + 1], tokens[start:])
        inputs = units[first + lead : last]  # the last unit predicts nothing within the turn
        place = chosen - first
        predicts.append(np.where(place <= lead, start - 1 + place, length - 1 + place - lead))
        ids.append(inputs)
        positions.append(start + lead + np.arange(len(inputs)))
        branch.append(np.full(len(inputs), number))
        sees.append(np.full(len(inputs), start + lead))
        length += len(inputs)
    parts = (ids, positions, branch, sees, predicts or [np.zeros(0, np.int64)])
    return Branched(*(np.concatenate(part).astype(np.int64) for part in parts))


def turn_numbers(action: NDArray[np.bool_], window: Window) -> _Ints:
    """For each of a window's n base tokens the number of the agent's turn, 0 for other speakers'; int64 (n).

    `action` is the agent's mask of the conversation. Where text is left out behind the window's head, what
    follows is another turn.
    """
    positions = window.positions()
    spoken = action[positions]
    follows = np.append(False, spoken[:-1]) & (np.diff(positions, prepend=0) == 1)
    return np.cumsum(spoken & ~follows) * spoken


def _learnt(turn_of: _Ints, supervised: _Ints) -> Iterator[tuple[int, int, _Ints]]:
    """Of each turn with supervised units: its first unit, the last supervised one, and all supervised ones.

    turn_of: int64 (u), the number of each unit's turn. A turn begins with a whole token.
    """
    borders = np.flatnonzero(np.diff(turn_of[supervised])) + 1
    for chosen in np.split(supervised, borders):
        if len(chosen):
            first = int(np.argmax(turn_of == turn_of[chosen[0]]))
            yield first, int(chosen[-1]), chosen


def _common(units: _Ints, tokens: _Ints) -> int:
    """How many of the first units are the tokens that stand there."""
    length = min(len(units), len(tokens))
    differing = np.flatnonzero(units[:length] != tokens[:length])
    return int(differing[0]) if len(differing) else length
