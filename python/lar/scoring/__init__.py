"""The teacher's entropies and likeliest tokens: computed, stored beside a corpus, and read back."""

from lar.scoring.distribution import EntropyDistribution

__all__ = ["EntropyDistribution"]
