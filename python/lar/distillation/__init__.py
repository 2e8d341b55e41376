"""Teaching a model to use a latent vocabulary: LoRA and new rows, distilled from the frozen model itself."""

from lar.distillation.adaptation import adapt
from lar.distillation.options import AdaptOptions, DistillOptions
from lar.distillation.student import Student
from lar.distillation.trainer import distill

__all__ = ["AdaptOptions", "DistillOptions", "Student", "adapt", "distill"]
