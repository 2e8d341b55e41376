"""An upper bound of what any K segments can save in a text, whoever chooses them and however they are parsed.

**The bound.** Give each token p of each run a price u_p >= 0 per copy of the run, and let w be the number of
the copies. An occurrence o of a segment of l tokens replaces l units by one in each copy: it saves w (l - 1).
Its *excess* is what the prices of its tokens do not pay:

    e_o = w max(0, l - 1 - sum of u_p over the tokens p of o)

Let E_s be the sum of e_o over all occurrences of the string s, those that overlap included. In any parse by a
vocabulary V, the units are occurrences of segments of V that do not overlap, so each token's price is paid at
most once:

    saving = sum of w (l - 1) over the occurrences used
          <= sum of e_o over them + sum of the prices of their tokens
          <= sum of E_s over s in V + sum of w u_p over all p

With at most K segments in V, the first sum is at most that of the K largest E_s, which is at most
K m + sum of max(0, E_s - m) over all strings s, for any m >= 0. So

    saving <= sum of w u_p + K m + sum over s of max(0, E_s - m)

for *any* prices and any m: nothing has to be trusted but this line. Strings with count x (length - 1) <= m
add nothing to it, and need not be listed.

**The best prices** minimise the right side. That is the dual of a linear program: maximise the sum of
w (l - 1) x_o with at most one x_o over each token, x_o <= y_s for the string s of o, sum of y_s <= K, and all
of them from 0 to 1. The program with whole numbers is the best vocabulary with its best parse; u, m and the
excess are the multipliers of the program's limits (Lagrangian duality, e.g. Boyd & Vandenberghe, Convex
Optimization, 5.2 and 5.9). The right side is convex and piecewise linear in the prices. Adam (Kingma & Ba,
2015) follows its slope, in which the steps between the pieces are gentle at first, then steeper.
"""

from dataclasses import dataclass, replace
from math import floor

import numpy as np
from numpy.typing import NDArray

from benches.mining.substrings import Substrings, Text

Floats = NDArray[np.float64]

ITERATIONS = 300
# Every so many steps all strings are looked at again; between them only those that may come among the best K.
LOOK = 25
FIRST_RATE, LAST_RATE = 0.05, 0.001
# How wide a step of the slope is made, from the first step to the last: in units of an occurrence's saving.
WIDEST, NARROWEST = 1.0, 0.03
# The same for a string among the best K or not, as a share of m.
SHARE = 0.3
# The shares of strings are means over this last part of the steps.
AVERAGED = 0.3
# Strings are listed that could save this share of the mean tokens for each segment, at first.
FIRST_LEAST = 0.1
# By how much this is lowered at a time.
FEWER = 4
# Enough strings are listed if m is so many times what the others could save.
ENOUGH = 1.3
# Most occurrences of the strings that are listed.
LISTED = 1_000_000


@dataclass(frozen=True)
class Bound:
    """saving: no K segments save more units. shares (k): how much of each string the program takes, 0 to 1.

    margin: m of the bound. prices (n): u of the bound.
    """

    saving: float
    margin: float
    shares: Floats
    prices: Floats


class Prices:
    """The bound by prices, for the strings of a text."""

    def __init__(self, weights: NDArray[np.int64], strings: Substrings, size: int) -> None:
        """For at most `size` segments; `weights` (n): the copies of each token's run."""
        self._weights = weights.astype(np.float64)
        self._strings = strings
        self._size = size
        sizes = np.diff(strings.offsets)
        lengths = np.repeat(strings.lengths, sizes)
        self._starts, self._ends = strings.starts, strings.starts + lengths
        self._saved = (lengths - 1).astype(np.float64)
        self._copies = self._weights[strings.starts]

    def bound(self, prices: Floats) -> tuple[float, float, Floats]:
        """The bound at `prices` (n), its m, and the excess E of each string (k)."""
        excess = self._excess(np.maximum(self._unpaid(prices), 0))
        margin = self._margin(excess)
        paid = float((self._weights * prices).sum())
        return paid + self._size * margin + float(np.maximum(excess - margin, 0).sum()), margin, excess

    def slope(self, prices: Floats, width: float) -> tuple[Floats, Floats]:
        """The slope of the bound along each price per copy (n), smoothed by `width`, and the shares (k)."""
        unpaid = self._unpaid(prices)
        excess = self._excess(np.maximum(unpaid, 0))
        margin = self._margin(excess)
        shares = _ramp(excess - margin, 2 * SHARE * width * max(margin, 1e-6))
        of_occurrences = np.repeat(shares, np.diff(self._strings.offsets))
        taken = np.flatnonzero(of_occurrences)
        used = of_occurrences[taken] * _ramp(unpaid[taken], width)
        edges = np.bincount(self._starts[taken], used, len(prices) + 1)
        edges -= np.bincount(self._ends[taken], used, len(prices) + 1)
        return 1 - np.cumsum(edges)[:-1], shares

    def near(self, excess: Floats, margin: float) -> tuple["Prices", NDArray[np.bool_]]:
        """The strings that may come among the best K within some steps, and which they are (k)."""
        near = excess >= 0.5 * margin
        return Prices(self._weights, self._strings.subset(near), self._size), near

    def _unpaid(self, prices: Floats) -> Floats:
        """What prices leave of the saving of each occurrence, per copy."""
        sums = np.concatenate([[0.0], np.cumsum(prices)])
        unpaid: Floats = self._saved - (sums[self._ends] - sums[self._starts])
        return unpaid

    def _excess(self, unpaid: Floats) -> Floats:
        if len(unpaid) == 0:
            return np.zeros(0)
        return np.add.reduceat(unpaid * self._copies, self._strings.offsets[:-1])

    def _margin(self, excess: Floats) -> float:
        """The best m: the K-th largest excess, but at least what strings that are not listed may save."""
        if len(excess) <= self._size:
            return self._strings.least
        return max(self._strings.least, float(np.partition(excess, -self._size)[-self._size]))


def _ramp(values: Floats, width: float) -> Floats:
    """A step from 0 to 1 at zero, made `width` wide."""
    return np.clip(values / width + 0.5, 0, 1)


def lower_prices(prices: Prices, tokens: int, strings: int, iterations: int = ITERATIONS) -> Bound:
    """The lowest bound that `iterations` steps find for a text of `tokens`, with its `strings`."""
    adam = _Adam(np.full(tokens, 0.3))
    best = Bound(np.inf, 0.0, np.zeros(strings), adam.values)
    shares, averaged = np.zeros(strings), 0
    for step in range(iterations):
        if step % LOOK == 0:
            best, (few, near) = _lower(best, prices, adam.values)
        progress = step / iterations
        slope, of_few = few.slope(adam.values, WIDEST * (NARROWEST / WIDEST) ** progress)
        if progress >= 1 - AVERAGED:
            shares[near] += of_few
            averaged += 1
        adam.step(slope, FIRST_RATE * (LAST_RATE / FIRST_RATE) ** progress)
    best, _ = _lower(best, prices, adam.values)
    return replace(best, shares=shares / max(averaged, 1))


def _lower(best: Bound, prices: Prices, values: Floats) -> tuple[Bound, tuple[Prices, NDArray[np.bool_]]]:
    """The lower of the best bound and the one at these prices, and the strings to look at next."""
    saving, margin, excess = prices.bound(values)
    if saving < best.saving:
        best = replace(best, saving=saving, margin=margin, prices=values)
    return best, prices.near(excess, margin)


class _Adam:
    """Prices per copy; none is negative."""

    MEAN, SQUARE, LEAST = 0.9, 0.98, 1e-3

    def __init__(self, values: Floats) -> None:
        self.values = values
        self._mean, self._square = np.zeros_like(values), np.zeros_like(values)
        self._steps = 0

    def step(self, slope: Floats, rate: float) -> None:
        """Move against `slope`."""
        self._steps += 1
        self._mean = self.MEAN * self._mean + (1 - self.MEAN) * slope
        self._square = self.SQUARE * self._square + (1 - self.SQUARE) * slope**2
        mean = self._mean / (1 - self.MEAN**self._steps)
        square = self._square / (1 - self.SQUARE**self._steps)
        self.values = np.maximum(self.values - rate * mean / (np.sqrt(square) + self.LEAST), 0)


def most_saved(text: Text, size: int, longest: int, iterations: int = ITERATIONS) -> tuple[Bound, Substrings]:
    """A bound of what `size` allowed segments of up to `longest` tokens save in `text`, and the strings.

    Strings that could save little are left out at first. While m is so small that they matter, more are
    listed, as long as they have at most `LISTED` occurrences. The bound holds with any of them left out, but
    it is less tight then.
    """
    # Runs of count zero come last; nothing is saved in them.
    weights = np.trim_zeros(text.weights, "b")
    least = FIRST_LEAST * float(weights.sum()) / size
    while (strings := Substrings.find(text, longest, least, LISTED)) is None:
        least *= 2
    while True:
        bound = lower_prices(Prices(weights, strings, size), len(weights), len(strings), iterations)
        if strings.least == 0 or bound.margin > ENOUGH * strings.least:
            break
        least = strings.least / FEWER if strings.least >= FEWER else 0.0
        if (more := Substrings.find(text, longest, least, LISTED)) is None:
            break
        strings = more
    # Savings are whole numbers; sums of floats may end a little below one. A run is at least one unit.
    most = (text.counts * (np.diff(text.offsets) - 1)).sum()
    return replace(bound, saving=min(floor(bound.saving + 1e-6), float(most))), strings
