"""New values for old ones: drawn from the values that real tasks have in such a place, or composed.

Within a task an old value always becomes the same new value, as an id recurs in a real task. In another task
it becomes another one.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benches.resampling.agent_turns import ends
from benches.resampling.atoms import Atoms
from benches.resampling.hashing import Hashes, Indices, below, distinct, mixed, pieces, uniform

_FEWEST = 10  # distinct values that a group needs before values are drawn from it
_RANKS = 1e6  # composed values are drawn from this many times the number of known values


@dataclass(frozen=True)
class Values:
    """The v distinct values of real turns, in g groups of interchangeable values.

    starts, lengths (v): an example of each value in the real tokens. number (v): the value is digits.
    group (v): the group that its substitutes are drawn from. choices: each value once for each task with it,
    so that draws follow frequencies. first, count (g): the choices of each group. fresh (g): the share of
    choices whose value occurs in one task only, which estimates how likely an unseen task's value is new
    (Good and Turing). value_of (a): the index of the atom's value, -1 where it has no substitutes.
    """

    starts: Indices
    lengths: Indices
    number: NDArray[np.bool_]
    group: Indices
    choices: Indices
    first: Indices
    count: Indices
    fresh: NDArray[np.float64]
    value_of: Indices

    @classmethod
    def of(cls, atoms: Atoms) -> "Values":
        """Group by shape and preceding symbol; by shape alone where such a group is too small."""
        found = np.flatnonzero(atoms.value)
        _, examples, values = np.unique(atoms.content[found], return_index=True, return_inverse=True)
        tasks = atoms.task[found]
        known = np.bincount(values[distinct(values, tasks)])
        groups = _groups(atoms, found)
        choices, of_group = _choices(groups, values, tasks)
        variety = np.bincount(of_group[distinct(of_group, choices)])
        count = np.bincount(of_group)
        narrow, wide = groups[:, examples]
        value_of = np.full(len(atoms.content), -1)
        value_of[found] = np.where(variety[wide][values] >= _FEWEST, values, -1)
        return cls(
            starts=atoms.starts[found[examples]],
            lengths=atoms.lengths[found[examples]],
            number=atoms.number[found[examples]],
            group=np.where(variety[narrow] >= _FEWEST, narrow, wide),
            choices=choices,
            first=ends(count)[:-1],
            count=count,
            fresh=np.bincount(of_group, weights=known[choices] == 1) / count,
            value_of=value_of,
        )

    def draw(self, values: Indices, draws: Hashes) -> "Substitutes":
        """A new value for each of `values`, chosen by the random `draws`."""
        group = self.group[values]
        first, count = self.first[group], self.count[group]
        fresh = uniform(draws) < self.fresh[group]
        draws = mixed(draws + np.uint64(1))
        # Zipf's law continues past the known values: equal ratios of ranks are equally likely.
        ranks = (count * _RANKS ** uniform(draws)).astype(np.uint64)
        composed = mixed(mixed(ranks) + group.astype(np.uint64))
        head = self.choices[first + below(np.where(fresh, composed, draws), count)]
        tail = self.choices[first + below(mixed(composed), count)]
        tail_lengths = np.where(fresh, self.lengths[tail] // 2, 0)
        return Substitutes(
            head=self.starts[head],
            head_lengths=np.where(fresh, (self.lengths[head] + 1) // 2, self.lengths[head]),
            tail=self.starts[tail] + self.lengths[tail] - tail_lengths,
            tail_lengths=tail_lengths,
            fresh=fresh,
        )


@dataclass(frozen=True)
class Substitutes:
    """New values, each as two pieces of the real tokens; a known value has no tail."""

    head: Indices
    head_lengths: Indices
    tail: Indices
    tail_lengths: Indices
    fresh: NDArray[np.bool_]


def _groups(atoms: Atoms, found: Indices) -> Indices:
    """Two groups of each occurrence of a value: by shape and preceding symbol, and by shape alone (2, n)."""
    wide = mixed(atoms.shape[found])
    narrow = mixed(mixed(wide) + atoms.symbols[found - 1])  # mixed twice: a before b is not b before a
    return np.unique(np.concatenate([narrow, wide]), return_inverse=True)[1].reshape(2, -1)


def _choices(groups: Indices, values: Indices, tasks: NDArray[np.uint32]) -> tuple[Indices, Indices]:
    """Each value of each group once for each task, ordered by group; and their groups."""
    of_group, values, tasks = groups.ravel(), np.tile(values, 2), np.tile(tasks, 2)
    kept = distinct(of_group, values, tasks)
    kept = kept[np.argsort(of_group[kept], kind="stable")]
    return values[kept], of_group[kept]


def write(
    atoms: Atoms, values: Values, digits: NDArray[np.uint32], written: Indices, keys: Hashes
) -> tuple[NDArray[np.uint32], Indices]:
    """The tokens of the atoms `written` (s) with new values, and the new length of each atom (s).

    Equal old values with equal `keys` (s) get equal new ones. `digits` are the ids of "0" to "9".
    """
    starts, lengths = atoms.starts[written], atoms.lengths[written]
    places = np.flatnonzero(values.value_of[written] >= 0)
    old = values.value_of[written[places]]
    draws = mixed(atoms.content[written[places]] + keys[places])
    new = values.draw(old, draws)
    starts[places], lengths[places] = new.head, new.head_lengths + new.tail_lengths
    source = pieces(starts, lengths)
    begins = np.cumsum(lengths) - lengths
    source[pieces(begins[places] + new.head_lengths, new.tail_lengths)] = pieces(new.tail, new.tail_lengths)
    tokens = atoms.tokens[source]
    numbers = new.fresh & values.number[old]
    _write_numbers(tokens, begins[places[numbers]], lengths[places[numbers]], draws[numbers], digits)
    return tokens, lengths


def _write_numbers(
    tokens: NDArray[np.uint32], begins: Indices, lengths: Indices, draws: Hashes, digits: NDArray[np.uint32]
) -> None:
    """Write a random number over each piece of `tokens`."""
    places = pieces(begins, lengths)
    within = pieces(np.zeros_like(begins), lengths).astype(np.uint64)
    chance = mixed(np.repeat(mixed(draws), lengths) + within)
    tokens[places] = digits[below(chance, np.full(len(chance), len(digits)))]
