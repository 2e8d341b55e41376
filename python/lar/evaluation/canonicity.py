"""Measures how far generated units are from the canonical parse: the ids that an engine reads for their text.

In training every turn is the canonical parse of its text, so there the measure is zero by construction. A
model that samples may leave it in two ways. It may write a latent's text partly as latents and partly as base
tokens; `lar.generation.guard` prevents this, and without it such turns are *misread*. And it may write other
base tokens than the tokenizer gives, "t" and "he" for "the", as any model may.
"""

from collections.abc import Iterable, Iterator
from dataclasses import astuple, dataclass
from itertools import pairwise
from operator import add
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lar.corpus import Corpus
from lar.vocabulary.arrays import as_ids
from lar.vocabulary.vocabulary import LatentVocabulary


@dataclass(frozen=True, slots=True)
class Canonicity:
    """Counts of turns and units, compared with the canonical parse of the same text.

    noncanonical_turns: turns that differ from their parse. misread_turns: those of them whose parse has other
    latents, or latents at other places. noncanonical_units: units that the parse does not have at the same
    place. canonical_units: units of the parses.
    """

    turns: int = 0
    noncanonical_turns: int = 0
    misread_turns: int = 0
    units: int = 0
    noncanonical_units: int = 0
    canonical_units: int = 0

    def __add__(self, other: "Canonicity") -> "Canonicity":
        return Canonicity(*map(add, astuple(self), astuple(other)))

    @property
    def turn_share(self) -> float:
        """Share of turns that are not canonical; 0 without turns."""
        return self.noncanonical_turns / self.turns if self.turns else 0.0

    @property
    def misread_share(self) -> float:
        """Share of turns in whose text an engine finds other latents; 0 without turns."""
        return self.misread_turns / self.turns if self.turns else 0.0

    @property
    def unit_share(self) -> float:
        """Share of units that are not canonical; 0 without units."""
        return self.noncanonical_units / self.units if self.units else 0.0

    @property
    def wasted_units(self) -> int:
        """Units in excess of the parses; may be negative, since leftmost-longest is not always shortest."""
        return self.units - self.canonical_units

    def to_dict(self) -> dict[str, Any]:
        """Counts and shares as JSON-ready values."""
        return {
            "turns": self.turns,
            "noncanonical_turns": self.noncanonical_turns,
            "turn_share": round(self.turn_share, 4),
            "misread_turns": self.misread_turns,
            "misread_share": round(self.misread_share, 4),
            "units": self.units,
            "noncanonical_units": self.noncanonical_units,
            "unit_share": round(self.unit_share, 4),
            "wasted_units": self.wasted_units,
        }


def canonicity(vocabulary: LatentVocabulary, turns: Iterable[ArrayLike]) -> Canonicity:
    """Compare turns with the canonical parses of their texts.

    A turn is an array of units (n): a stretch of one speaker, since the parse does not cross speakers.

    Raises:
        VocabularyError: an id is neither a base id nor a latent.
    """
    return sum((_of_turn(vocabulary, as_ids(turn)) for turn in turns), Canonicity())


def training_canonicity(corpus: Corpus, vocabulary: LatentVocabulary) -> Canonicity:
    """The measure on the agent's turns as training parses them; all of them are canonical."""
    return canonicity(vocabulary, _turns(corpus.training, vocabulary))


def _turns(corpus: Corpus, vocabulary: LatentVocabulary) -> Iterator[NDArray[np.uint32]]:
    """Yield the units of each turn of the agent."""
    for shard in corpus.shards():
        for begin, end in pairwise(shard.offsets.tolist()):
            parsed = vocabulary.reparameterize(shard.tokens[begin:end], shard.action[begin:end])
            changes = np.flatnonzero(np.diff(parsed.action)) + 1
            for turn in np.split(np.arange(len(parsed.units)), changes):
                if len(turn) and parsed.action[turn[0]]:
                    yield parsed.units[turn]


def _of_turn(vocabulary: LatentVocabulary, units: NDArray[np.uint32]) -> Canonicity:
    tokens = vocabulary.expand(units)
    parse = vocabulary.encode_text(vocabulary.tokenizer.decode(tokens))
    kept = np.isin(_places(vocabulary, units), _places(vocabulary, parse), assume_unique=True)
    noncanonical = not np.array_equal(units, parse)
    misread = noncanonical and _latents(vocabulary, units) != _latents(vocabulary, parse)
    return Canonicity(1, int(noncanonical), int(misread), len(units), int((~kept).sum()), len(parse))


def _latents(vocabulary: LatentVocabulary, units: NDArray[np.uint32]) -> tuple[list[int], list[str]]:
    """The latents, and the texts before, between and after them.

    A text shows where a latent is, also after half a character, which the parse has as U+FFFD.
    """
    places = np.flatnonzero(units >= vocabulary.base_size)
    pieces = np.split(units, places)
    gaps = [pieces[0], *(piece[1:] for piece in pieces[1:])]
    texts = [vocabulary.tokenizer.bytes_of(gap).decode(errors="replace") for gap in gaps]
    return units[places].tolist(), texts


def _places(vocabulary: LatentVocabulary, units: NDArray[np.uint32]) -> NDArray[np.int64]:
    """Each unit with its first byte (upper bits) as one number; int64 (n)."""
    lengths = vocabulary.unit_bytes[units]
    starts = np.cumsum(lengths) - lengths
    return starts << 32 | units
