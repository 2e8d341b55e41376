"""Teaching a model to use a latent vocabulary: LoRA and new rows, distilled from the frozen model itself.

Names are imported when they are first used, so that the options can be read without torch.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lar.distillation.adaptation import adapt
    from lar.distillation.options import AdaptOptions, DistillOptions
    from lar.distillation.run import distill
    from lar.distillation.student import Student

_MODULES = {
    "AdaptOptions": "lar.distillation.options",
    "DistillOptions": "lar.distillation.options",
    "Student": "lar.distillation.student",
    "adapt": "lar.distillation.adaptation",
    "distill": "lar.distillation.run",
}

__all__ = ["AdaptOptions", "DistillOptions", "Student", "adapt", "distill"]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'lar.distillation' has no attribute {name!r}")
    return getattr(importlib.import_module(_MODULES[name]), name)
