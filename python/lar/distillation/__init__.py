"""Distillation: LoRA and new rows let a frozen model use a latent vocabulary, by its teaching or the logs'.

The functions are `lar.distill` and `lar.adapt`. Names are imported when they are first used, so that the
options can be read without torch.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lar.distillation.options import AdaptOptions, DistillOptions
    from lar.distillation.student import Student

_MODULES = {
    "AdaptOptions": "lar.distillation.options",
    "DistillOptions": "lar.distillation.options",
    "Student": "lar.distillation.student",
}

__all__ = ["AdaptOptions", "DistillOptions", "Student"]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'lar.distillation' has no attribute {name!r}")
    return getattr(importlib.import_module(_MODULES[name]), name)
