"""Long turns of the agent in the histories of calls that stand in another call too, word for word.

Where a client changes the first message of each history, no call is the beginning of another one, and none
is a shortened one (see `lar.trajectories.shortened`). Then each turn counts as often as it was sent. Such
turns are counted, and stay: two conversations may have equal turns.
"""

from array import array
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from lar.trajectories.chains import digest_of
from lar.trajectories.dialects.messages import is_own, texts_written
from lar.trajectories.report import LONG, Report
from lar.trajectories.schema import Trajectory


def long_turns(trajectory: Trajectory) -> list[int]:
    """Digests of the agent's long turns, each with the message before it; odd ones are of the history."""
    said = [message for message in trajectory.messages if message["role"] != "system"]
    found: dict[int, int] = {}  # a turn counts once
    for place, (before, turn) in enumerate(pairwise(said), start=2):
        if turn["role"] == "assistant" and is_own(turn) and len(text := "".join(texts_written(turn))) >= LONG:
            digest = int.from_bytes(digest_of(f"{before['content']}\0{text}", 8), "little", signed=True) >> 1
            found[digest] = found.get(digest, 0) | (place < len(said))
    return [2 * digest + is_history for digest, is_history in found.items()]


class LongTurns:
    """The long turns of all calls, 8 bytes each."""

    def __init__(self) -> None:
        self._digests = array("q")

    def add(self, digests: list[int] | NDArray[np.int64]) -> None:
        """Add the `long_turns` of calls."""
        self._digests.extend(digests)

    def count(self, report: Report) -> None:
        """Count them, and those of histories that stand in another call too."""
        found = np.frombuffer(self._digests, np.int64)
        _, kinds, sizes = np.unique(found >> 1, return_inverse=True, return_counts=True)
        report.long_turns += len(found)
        report.resent_turns += int(((sizes[kinds] > 1) & (found & 1 == 1)).sum())
