"""Whether the latents of a vocabulary are used often enough for a student to learn them."""

from collections.abc import Iterable
from statistics import median

from lar.vocabulary.latent import Latent

# A student can learn latents if half of them have so many uses. SmolLM2-135M seldom preferred latents of
# fewer where they belong (docs/evidence.md, "What rare latents cost").
LEARNABLE = 40


def are_learnable(latents: Iterable[Latent]) -> bool:
    """Whether half of the latents have `LEARNABLE` uses or more."""
    return typical_uses(latents) >= LEARNABLE


def typical_uses(latents: Iterable[Latent]) -> float:
    """The median of the latents' uses: half of them have so many or more. 0.0 without latents."""
    uses = [latent.uses for latent in latents]
    return float(median(uses)) if uses else 0.0
