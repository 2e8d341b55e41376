"""Files of sessions that were copied from others: what both say counts once.

Some agents copy what a session says so far into the file of a new one when the user goes back and asks
something else. Such a file is a *fork*, which names its origin; or one of the *parts* that one session
leaves behind, which have the same text of the system. Who has a turn first keeps it, the origin before its
forks. Copies have equal ids and reasoning, which two runs that say the same do not.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from lar.trajectories.chains import DIGEST, Links, exact_chain, system_of
from lar.trajectories.schema import Trajectory
from lar.trajectories.waiting import Rows


class Copies:
    """Which turns forks and parts have copied, of the trajectories with these `numbers`.

    kinds: uint8, of all trajectories of the log. `forks` and `parts` are two of these kinds. second: int64,
    the numbers of forks and parts that say nothing more than another trajectory.
    """

    def __init__(
        self, rows: Rows, numbers: NDArray[np.int64], kinds: NDArray[np.uint8], *, forks: int, parts: int
    ) -> None:
        self._rows = rows
        is_copy = np.isin(kinds[numbers], (forks, parts))
        turns, ends = set[bytes](), set[bytes]()
        second: list[int] = []
        for number in [*numbers[~is_copy], *numbers[is_copy]] if is_copy.any() else ():
            trajectory = rows.read(int(number))[0]
            links = _links(trajectory, is_part=kinds[number] == parts)
            if kinds[number] in (forks, parts):
                turns.update(digest for _, digest in _own(trajectory, links))
                second += [number] if links[-1][1] in ends else []
            ends.add(links[-1][1])
        self.second = np.array(second, dtype=np.int64)
        self._turns = np.array(sorted(turns), dtype=f"S{DIGEST}")
        self._taken = np.zeros(len(turns), dtype=np.bool_)

    def take(self, numbers: NDArray[np.int64]) -> None:
        """Leave the turns of these trajectories, which are no copies, to them."""
        for number in numbers.tolist() if len(self._turns) else ():
            trajectory = self._rows.read(number)[0]
            for _, digest in _own(trajectory, _links(trajectory, is_part=False)):
                self._take(digest)

    def shared(self, trajectory: Trajectory, *, is_part: bool) -> list[int]:
        """The places of the agent's turns that another trajectory has taken; the others are taken now."""
        links = _links(trajectory, is_part=is_part)
        return [place for place, digest in _own(trajectory, links) if not self._take(digest)]

    def _take(self, digest: bytes) -> bool:
        """Take a turn that a copy has; false where it is taken."""
        at = int(np.searchsorted(self._turns, np.bytes_(digest)))
        if at == len(self._turns) or self._turns[at] != np.bytes_(digest):
            return True  # no copy has it
        was_free = not self._taken[at]
        self._taken[at] = True
        return was_free


def _links(trajectory: Trajectory, *, is_part: bool) -> Links:
    messages = trajectory.messages
    return exact_chain(messages, system_of(messages) if is_part else "")


def _own(trajectory: Trajectory, links: Links) -> Iterator[tuple[int, bytes]]:
    """Yield the links of the agent's turns that are no context."""
    messages = trajectory.messages
    return (
        (place, digest)
        for place, digest in links
        if messages[place]["role"] == "assistant" and messages[place].get("weight") != 0
    )
