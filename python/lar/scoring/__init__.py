"""Scoring: a teacher's entropies and likeliest tokens before each of the agent's tokens, beside a corpus.

score: the pass of the teacher. store: its files, written for one teacher at a time and read by distillation.
distribution: the quantiles of the entropies.
"""

from lar.scoring.distribution import EntropyDistribution

__all__ = ["EntropyDistribution"]
