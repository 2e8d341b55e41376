"""The optimizer of a run: AdamW, with a separate learning rate for the new rows."""

from typing import Any

import torch
from torch import nn

from lar.distillation.options import DistillOptions


def optimizer_for(model: nn.Module, options: DistillOptions) -> torch.optim.Optimizer:
    """AdamW over the trainable parameters of `model`."""
    learning = [(n, p) for n, p in model.named_parameters() if p.requires_grad]
    rows = [p for n, p in learning if ".rows." in f".{n}"]
    others = [p for n, p in learning if ".rows." not in f".{n}"]
    groups: list[dict[str, Any]] = [{"params": others, "weight_decay": options.weight_decay}]
    if rows:
        groups.append({"params": rows, "lr": options.row_learning_rate, "weight_decay": 0.0})
    return torch.optim.AdamW(groups, lr=options.learning_rate)
