"""The reduction of a vocabulary on unseen tasks, and the agreement of text and tokens on its latents."""

from lar.evaluation.reduction import Evaluation, evaluate

__all__ = ["Evaluation", "evaluate"]
