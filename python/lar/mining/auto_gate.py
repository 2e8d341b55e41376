"""The entropy gate that `lar.mine` takes where none is given: none, unless turns would have too few units."""

import logging
from collections.abc import Callable
from dataclasses import replace

from lar.errors import CorpusError, OptionError
from lar.mining.entropy_gate import USUAL_GATE, Gate
from lar.vocabulary.turn_lengths import FEW_UNITS, units_a_turn
from lar.vocabulary.vocabulary import LatentVocabulary

logger = logging.getLogger(__name__)


def gated_where_needed(mined: Callable[[Gate], LatentVocabulary]) -> LatentVocabulary:
    """What `mined` gives behind no gate, or behind `USUAL_GATE` where a turn would have too few units.

    The record of a gated vocabulary has how many units a turn would have had (`ungated_turn_units`).
    """
    vocabulary = mined(None)
    length = units_a_turn(vocabulary)
    if length >= FEW_UNITS:
        return vocabulary
    try:
        gated = mined(USUAL_GATE)
    except (CorpusError, OptionError) as error:  # logs too small or too large for n-gram entropies
        logger.warning("%s", no_gate(length, error))
        return vocabulary
    return replace(gated, mining={**gated.mining, "ungated_turn_units": round(length, 4)})


def no_gate(units: float, error: Exception) -> str:
    """Why there is no gate though a turn has so few units."""
    return f"no entropy gate, though a turn has only {units:.1f} units: {error}"
