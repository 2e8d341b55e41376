"""How far what was written is from the canonical parse: the measure. The guard is `lar.generation.guard`.

In training every turn is the canonical parse of its text, so there the measure is zero by construction. A
model that samples may spell a latent's text half latent, half explicit: units that it was never taught, and
mostly more of them.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lar.corpus import Corpus
from lar.vocabulary.vocabulary import LatentVocabulary, as_ids


@dataclass(frozen=True, slots=True)
class Canonicity:
    """Turns and their units beside the canonical parse of the same text.

    noncanonical_turns: turns that are another sequence than their parse. noncanonical_units: units that the
    parse does not have where they stand. canonical_units: units of the parses.
    """

    turns: int = 0
    noncanonical_turns: int = 0
    units: int = 0
    noncanonical_units: int = 0
    canonical_units: int = 0

    def __add__(self, other: "Canonicity") -> "Canonicity":
        return Canonicity(
            self.turns + other.turns,
            self.noncanonical_turns + other.noncanonical_turns,
            self.units + other.units,
            self.noncanonical_units + other.noncanonical_units,
            self.canonical_units + other.canonical_units,
        )

    @property
    def turn_share(self) -> float:
        """Share of the turns that are not canonical; 0 where there is no turn."""
        return self.noncanonical_turns / self.turns if self.turns else 0.0

    @property
    def unit_share(self) -> float:
        """Share of the units that are not canonical; 0 where there is no unit."""
        return self.noncanonical_units / self.units if self.units else 0.0

    @property
    def wasted_units(self) -> int:
        """Units more than the parses have. Leftmost-longest is not always shortest: it may be below 0."""
        return self.units - self.canonical_units

    def as_json(self) -> dict[str, Any]:
        """Counts and shares as JSON-ready values."""
        return {
            "turns": self.turns,
            "noncanonical_turns": self.noncanonical_turns,
            "turn_share": round(self.turn_share, 4),
            "units": self.units,
            "noncanonical_units": self.noncanonical_units,
            "unit_share": round(self.unit_share, 4),
            "wasted_units": self.wasted_units,
        }


def canonicity(vocabulary: LatentVocabulary, turns: Iterable[ArrayLike]) -> Canonicity:
    """Compare turns, the units (n) of each, with the canonical parses of their texts.

    A turn is what one speaker writes in one go, for so far does the parse reach.

    Raises:
        VocabularyError: an id is neither a base id nor a latent.
    """
    return sum((_of_turn(vocabulary, as_ids(turn)) for turn in turns), Canonicity())


def training_canonicity(vocabulary: LatentVocabulary, corpus: Corpus) -> Canonicity:
    """The measure on the agent's turns as training parses them: nothing in them is not canonical."""
    return canonicity(vocabulary, _turns(vocabulary, corpus))


def _turns(vocabulary: LatentVocabulary, corpus: Corpus) -> Iterator[NDArray[np.uint32]]:
    """Yield the units of each stretch of a conversation that the agent wrote."""
    for shard in corpus.shards():
        for begin, end in pairwise(shard.offsets.tolist()):
            parsed = vocabulary.reparameterize(shard.tokens[begin:end], shard.action[begin:end])
            changes = np.flatnonzero(np.diff(parsed.action)) + 1
            for turn in np.split(np.arange(len(parsed.units)), changes):
                if len(turn) and parsed.action[turn[0]]:
                    yield parsed.units[turn]


def _of_turn(vocabulary: LatentVocabulary, units: NDArray[np.uint32]) -> Canonicity:
    parse = vocabulary.encode(vocabulary.expand(units))
    kept = np.isin(_places(vocabulary, units), _places(vocabulary, parse), assume_unique=True)
    return Canonicity(1, int(not np.array_equal(units, parse)), len(units), int((~kept).sum()), len(parse))


def _places(vocabulary: LatentVocabulary, units: NDArray[np.uint32]) -> NDArray[np.int64]:
    """Each unit's first base position, and its length below that, as one number; int64 (n).

    In one text the place determines the unit: one token, or the only latent of that segment.
    """
    lengths = np.ones(len(units), dtype=np.int64)
    latent = units >= vocabulary.base_size
    lengths[latent] = vocabulary.segments.lengths[units[latent] - vocabulary.base_size]
    starts = np.cumsum(lengths) - lengths
    return starts << 32 | lengths
