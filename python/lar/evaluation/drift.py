"""Drift: latents that mining used and that fresh logs no longer use, where chance does not explain it."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lar.vocabulary.latent import Latent
from lar.vocabulary.vocabulary import LatentVocabulary

# Unused is surprising from this number on: of what occurs 5 times on average, independently, nothing occurs
# with a probability of exp(-5) < 1%. Expected uses alone mislead, because one task may have many of them. 16
# held-out tasks of tau_bench (K = 256) do not use 7 latents with 5 expected uses or more, though the agent is
# the same. With the tasks counted too, none of them is reported.
SURPRISING = 5.0


@dataclass(frozen=True, slots=True)
class UnusedLatent:
    """A latent that mining used and the measured text does not use.

    expected_uses: the uses in mining for each mined base token, times the measured base tokens. Tokens and
    uses are the agent's, or those of all text if prompts had a weight in mining.
    drifted: whether chance does not explain that there are none. Uses come in clusters, several in one task,
    so both numbers must be surprising: the expected uses, and the measured tasks, none of which has the
    segment.
    """

    latent: Latent
    expected_uses: float
    drifted: bool

    @property
    def expected_saving(self) -> float:
        """Units that the expected uses would save."""
        return self.expected_uses * (len(self.latent) - 1)

    def to_dict(self) -> dict[str, Any]:
        """The latent and the figures as JSON-ready values."""
        return {
            "id": self.latent.id,
            "text": self.latent.text,
            "expected_uses": round(self.expected_uses, 2),
            "expected_saving": round(self.expected_saving, 2),
            "drifted": self.drifted,
        }


def unused_latents(
    vocabulary: LatentVocabulary, used: NDArray[np.bool_], base_tokens: int, tasks: int
) -> list[UnusedLatent]:
    """The latents that mining used and `used`, bool (K), has not; those that would save most are first.

    `used` and the number of `base_tokens` are of the agent's text in the measured tasks, or of all text where
    `counts_prompts`. The list is empty where the vocabulary has no record of how much text it was mined on.
    """
    mined_tokens, mined_tasks = _mined(vocabulary.mining, "action_tokens"), _mined(vocabulary.mining, "tasks")
    if mined_tokens is None or mined_tasks is None:
        return []
    if counts_prompts(vocabulary):
        mined_tokens += _mined(vocabulary.mining, "prompt_tokens") or 0
    found = []
    for latent, is_used in zip(vocabulary, used.tolist(), strict=True):
        uses = latent.uses + latent.prompt_uses
        if is_used or not uses:
            continue
        expected = uses * base_tokens / mined_tokens
        # + 1, because a segment of all mined tasks is not certain in the next one.
        share = min(latent.support, mined_tasks) / (mined_tasks + 1)
        surprise = min(expected, -tasks * math.log1p(-share))
        found.append(UnusedLatent(latent, expected, surprise >= SURPRISING))
    return sorted(found, key=lambda one: (-one.expected_saving, one.latent.id))


def counts_prompts(vocabulary: LatentVocabulary) -> bool:
    """Whether prompts had a weight in mining, so that a latent is of use in a prompt too."""
    return bool(vocabulary.mining.get("prompt_weight"))


def mined_reduction(vocabulary: LatentVocabulary) -> float | None:
    """The reduction of the agent's text in the corpus that was mined; None where it is not recorded."""
    mined_tokens = _mined(vocabulary.mining, "action_tokens")
    if mined_tokens is None:
        return None
    return sum(latent.saving for latent in vocabulary) / mined_tokens


def _mined(mining: Mapping[str, Any], name: str) -> int | None:
    """A number in the record of mining; None where it is missing or no positive count."""
    value = mining.get(name)
    return value if isinstance(value, int) and value > 0 else None
