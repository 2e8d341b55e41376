"""What a token counts in mining: one that the agent writes, and one that it only reads.

A prompt's tokens are cheaper than generated ones, so each counts `prompt_weight` times as much. The core
counts in whole numbers, so both weights are the smallest ones of that ratio.
"""

import math
from dataclasses import dataclass
from fractions import Fraction

from lar.errors import OptionError

# Weights are rounded to a ratio whose denominator is at most this.
FINEST = 1000


@dataclass(frozen=True)
class TokenWeights:
    """generated: the weight of a token that the agent writes. prompt: of one that it only reads."""

    generated: int = 1
    prompt: int = 0

    @classmethod
    def of(cls, prompt_weight: float) -> "TokenWeights":
        """The weights for a prompt token that costs `prompt_weight` times as much as a generated one.

        Raises:
            OptionError: it is neither 0 nor from 0.001 to 1,000.

        >>> TokenWeights.of(0.25)
        TokenWeights(generated=4, prompt=1)
        """
        if prompt_weight == 0:
            return cls()
        if not (math.isfinite(prompt_weight) and 1 / FINEST <= prompt_weight <= FINEST):
            raise OptionError(f"prompt_weight must be 0, or from 0.001 to 1000, not {prompt_weight}")
        ratio = Fraction(prompt_weight).limit_denominator(FINEST)
        return cls(ratio.denominator, ratio.numerator)

    def total(self, generated: int, prompt: int) -> int:
        """The weight of so many tokens that the agent writes, and so many that it only reads."""
        return self.generated * generated + self.prompt * prompt
