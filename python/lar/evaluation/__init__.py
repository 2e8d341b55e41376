"""What a vocabulary saves on tasks that it has not seen, and whether text and tokens agree on it."""

from lar.evaluation.reduction import Evaluation, evaluate

__all__ = ["Evaluation", "evaluate"]
