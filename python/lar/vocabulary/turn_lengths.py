"""How long a turn of the agent is in units: of few, each decides much of the turn."""

from dataclasses import dataclass
from typing import Self

from lar.vocabulary.vocabulary import LatentVocabulary

# Students lost success where the parse has 2.0 and 4.1 units for a turn of 40 tokens (docs/evidence.md,
# tau2_telecom), and none where it has 27 (search_qa). Tiny agents with turns of 15 tokens lost 12.7 points at
# 2.0 units, 8.0 at 4.0 and 3.8 at 5.1 (docs/results/success.md, BabyAI, the same steps).
FEW_UNITS = 5.0


@dataclass(frozen=True, slots=True)
class TurnLength:
    """The agent's base tokens and units, and its turns, at least one: sums over the same runs."""

    base_tokens: float
    units: float
    turns: int

    @classmethod
    def mined(cls, vocabulary: LatentVocabulary) -> Self:
        """That of the tasks which the vocabulary was mined on."""
        base_tokens, turns = vocabulary.mining["action_tokens"], vocabulary.mining["turns"]
        return cls(base_tokens, base_tokens - sum(latent.saving for latent in vocabulary.latents), turns)

    @property
    def mean_units(self) -> float:
        """The units of a turn, on average."""
        return self.units / self.turns

    @property
    def is_short(self) -> bool:
        """Whether latents leave a turn fewer than `FEW_UNITS` units, on average."""
        return self.units < min(FEW_UNITS * self.turns, self.base_tokens)

    def in_words(self) -> str:
        """The tokens and the units of a turn on average, and what to mind where latents leave few."""
        tokens = self.base_tokens / self.turns
        text = f"a turn of the agent is {tokens:,.1f} tokens on average, and {self.mean_units:,.1f} units"
        if not self.is_short:
            return text
        return (
            f"{text}: so few that a latent may decide most of a turn. Students with as few lost 17.5 and 37.5"
            " points of success on telecom tickets: compare it with a control's, and take fewer latents or an"
            " entropy gate if it is lost (docs/howto/choose.md)"
        )
