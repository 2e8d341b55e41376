"""New turns from pieces of real ones: an order-n resampling.

Copied turns would fold into one, unlike an agent's real logs. So a new turn copies a real turn and jumps, now
and then, to another place of the same corpus that follows the same last few atoms (values are compared by
shape alone). It continues from there to the end of that turn. Short stretches are real, their combinations
are new, and lengths keep their distribution, because each jump goes to a place drawn uniformly from all
places with the same context.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benches.resampling.atoms import Atoms
from benches.resampling.hashing import Hashes, Indices, below, mixed, pieces, uniform

_NEVER = 1 << 40  # atoms


@dataclass(frozen=True)
class Contexts:
    """The a places of real turns in g groups; the places of a group follow the same `order` symbols.

    group (a): the group of each place. members (a): the places, ordered by group. first (g + 1): the first
    member of each group.
    """

    group: NDArray[np.uint32]
    members: NDArray[np.uint32]
    first: NDArray[np.uint32]

    @classmethod
    def of(cls, atoms: Atoms, order: int) -> "Contexts":
        """Group all places by their preceding `order` symbols."""
        hashes = _preceding(atoms, order)
        members = np.argsort(hashes, kind="stable")
        new = np.append(True, np.diff(hashes[members]) != 0)
        group = np.empty(len(members), dtype=np.uint32)
        group[members] = np.cumsum(new) - 1
        first = np.append(np.flatnonzero(new), len(members))
        return cls(group, members.astype(np.uint32), first.astype(np.uint32))

    def draw(self, places: Indices, draws: Hashes) -> Indices:
        """For each of `places`, a random place with the same context; may be the same place."""
        group = self.group[places].astype(np.int64)
        first, stop = self.first[group].astype(np.int64), self.first[group + 1].astype(np.int64)
        landed: Indices = self.members[first + below(draws, stop - first)].astype(np.int64)
        return landed


def _preceding(atoms: Atoms, order: int) -> Hashes:
    """A hash of the `order` symbols before each atom in its turn (a)."""
    place = _places(atoms)
    hashes = np.zeros(len(place), dtype=np.uint64)
    for back in range(1, order + 1):
        symbol = np.where(place >= back, np.roll(atoms.symbols, back), np.uint64(0))
        hashes = mixed(hashes + symbol + np.uint64(1))
    return hashes


def _places(atoms: Atoms) -> Indices:
    """The index of each atom in its turn (a)."""
    return pieces(np.zeros(len(atoms.turns) - 1, dtype=np.int64), np.diff(atoms.turns))


@dataclass(frozen=True)
class Pieces:
    """p pieces of real text, ordered by the new turn that they make up: turn, start, length (p), in atoms."""

    turn: Indices
    start: Indices
    length: Indices


class Splicer:
    """Makes new turns from pieces of real turns."""

    def __init__(self, atoms: Atoms, jump: float, orders: dict[int, float]) -> None:
        """`jump`: its probability at an atom, below 1. `orders`: share of jumps by context length."""
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
        """Atoms to copy before a jump: one, plus a geometric number."""
        if self._jump == 0:
            return np.full(len(keys), _NEVER)
        waits = np.log1p(-uniform(mixed(keys))) / np.log1p(-self._jump)
        gaps: Indices = 1 + np.minimum(waits, _NEVER).astype(np.int64)
        return gaps

    def _land(self, places: Indices, draws: Hashes) -> Indices:
        """The targets of jumps from `places`: draw an order, then a place with the same context."""
        draws = mixed(draws + np.uint64(1))
        which = np.searchsorted(self._shares, uniform(draws), side="right")
        draws = mixed(draws)
        landed = places.copy()
        for number, contexts in enumerate(self._contexts):
            chosen = which == number
            landed[chosen] = contexts.draw(places[chosen], draws[chosen])
        return landed
