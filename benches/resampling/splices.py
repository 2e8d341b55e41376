"""Turns that go on like another: an order-n resampling of real turns, in pieces of the real text.

Copied turns would fold into one and say nothing of an agent's logs. So a walker that reads a real turn jumps,
now and then, to another place of the same corpus where the last few atoms are the same (values count by
their shape alone), and reads on there, to the end of that turn. All short stretches are then real, their
combinations are new, and lengths keep their distribution, since every jump is to a place drawn evenly from
all that follow the same context.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benches.resampling.atoms import Atoms
from benches.resampling.hashing import Hashes, Indices, below, mixed, pieces, uniform

_NEVER = 1 << 40  # atoms


@dataclass(frozen=True)
class Contexts:
    """The places of real turns (a), in groups that follow the same `order` symbols of their turn.

    group (a): of each place; members (a): the places, ordered by group; first (g + 1): of each group.
    """

    group: NDArray[np.uint32]
    members: NDArray[np.uint32]
    first: NDArray[np.uint32]

    @classmethod
    def of(cls, atoms: Atoms, order: int) -> "Contexts":
        """Group all places."""
        hashes = _preceding(atoms, order)
        members = np.argsort(hashes, kind="stable")
        new = np.append(True, np.diff(hashes[members]) != 0)
        group = np.empty(len(members), dtype=np.uint32)
        group[members] = np.cumsum(new) - 1
        first = np.append(np.flatnonzero(new), len(members))
        return cls(group, members.astype(np.uint32), first.astype(np.uint32))

    def draw(self, places: Indices, draws: Hashes) -> Indices:
        """A place that follows the same context for each of `places`: itself where there is no other."""
        group = self.group[places].astype(np.int64)
        first, stop = self.first[group].astype(np.int64), self.first[group + 1].astype(np.int64)
        landed: Indices = self.members[first + below(draws, stop - first)].astype(np.int64)
        return landed


def _preceding(atoms: Atoms, order: int) -> Hashes:
    """A hash of the `order` symbols before each atom within its turn (a)."""
    place = _places(atoms)
    hashes = np.zeros(len(place), dtype=np.uint64)
    for back in range(1, order + 1):
        symbol = np.where(place >= back, np.roll(atoms.symbols, back), np.uint64(0))
        hashes = mixed(hashes + symbol + np.uint64(1))
    return hashes


def _places(atoms: Atoms) -> Indices:
    """Where in its turn each atom stands (a)."""
    return pieces(np.zeros(len(atoms.turns) - 1, dtype=np.int64), np.diff(atoms.turns))


@dataclass(frozen=True)
class Pieces:
    """p pieces of real text, ordered by the turn that they make up: turn, start, length (p), in atoms."""

    turn: Indices
    start: Indices
    length: Indices


class Splicer:
    """Walks through real turns."""

    def __init__(self, atoms: Atoms, jump: float, orders: dict[int, float]) -> None:
        """`jump`: its chance at an atom, below 1; `orders`: how often so many atoms are its context."""
        self._atoms = atoms
        self._jump = jump
        self._contexts = [Contexts.of(atoms, order) for order in orders]
        self._shares = np.cumsum(list(orders.values())) / sum(orders.values())
        self._stop = np.repeat(atoms.turns[1:], np.diff(atoms.turns))
        placed = mixed(atoms.content + _places(atoms).astype(np.uint64))
        self._turn_hashes = np.add.reduceat(placed, atoms.turns[:-1])

    def walk(self, turns: Indices, keys: Hashes) -> Pieces:
        """New turns that begin like the real `turns` (t); equal turns with equal `keys` (t) become equal."""
        keys = mixed(keys + self._turn_hashes[turns])
        at = self._atoms.turns[turns]
        live = np.arange(len(turns))
        found = []
        while len(live):
            stop = np.minimum(at + self._gaps(keys), self._stop[at])
            found.append((live, at, stop - at))
            jumping = stop < self._stop[at]
            live, keys = live[jumping], mixed(keys[jumping])
            at = self._land(stop[jumping], keys)
        turn, start, length = (np.concatenate(parts) for parts in zip(*found, strict=True))
        order = np.argsort(turn, kind="stable")
        return Pieces(turn[order], start[order], length[order])

    def _gaps(self, keys: Hashes) -> Indices:
        """Atoms to read before a jump: one at least, and then geometric."""
        if self._jump == 0:
            return np.full(len(keys), _NEVER)
        waits = np.log1p(-uniform(mixed(keys))) / np.log1p(-self._jump)
        gaps: Indices = 1 + np.minimum(waits, _NEVER).astype(np.int64)
        return gaps

    def _land(self, places: Indices, draws: Hashes) -> Indices:
        """Where jumps from `places` lead: a context of one of the orders, then a place that follows it."""
        draws = mixed(draws + np.uint64(1))
        which = np.searchsorted(self._shares, uniform(draws), side="right")
        draws = mixed(draws)
        landed = places.copy()
        for number, contexts in enumerate(self._contexts):
            chosen = which == number
            landed[chosen] = contexts.draw(places[chosen], draws[chosen])
        return landed
