"""What a vocabulary saves on unseen tasks, and an estimate of it before anything is trained."""

from lar.evaluation.estimate import Estimate, estimate
from lar.evaluation.reduction import Evaluation, evaluate

__all__ = ["Estimate", "Evaluation", "estimate", "evaluate"]
