"""Whether latents are used often enough for a student to learn them."""

from collections.abc import Iterable

from lar.vocabulary.latent import Latent

# A latent with so many uses can be learnt. SmolLM2-135M seldom preferred latents with fewer where they belong
# (docs/results/agents.md, "What rare latents cost"), and tiny agents lose success with latents that are rare
# (docs/results/success.md, "The desk, few logs").
LEARNABLE = 40
# A student can learn a vocabulary if this share of its latents can be learnt.
ENOUGH_LEARNABLE = 0.5


def learnable_share(latents: Iterable[Latent], scale: float = 1.0) -> float:
    """The share of the latents with `LEARNABLE` uses or more, 0.0 without latents.

    scale: what the uses are multiplied by, where the latents were mined from a part of the logs. The share is
    shown in place of the median of the uses, which can be near zero and then differs from split to split.
    """
    often = [latent.uses * scale >= LEARNABLE for latent in latents]
    return sum(often) / len(often) if often else 0.0


def are_learnable(share: float) -> bool:
    """Whether a vocabulary with this `learnable_share` can be learnt."""
    return share >= ENOUGH_LEARNABLE
