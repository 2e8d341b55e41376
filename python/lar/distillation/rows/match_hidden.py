"""Input rows fitted before the first step, so that latents give the hidden states of their segments.

Token Distillation (arXiv 2505.20133) for all latents at once, on the corpus itself: the student's last hidden
state at every unit is pulled to the frozen model's at the unit's last base token. Only the input
rows learn. Every position after a latent, of any speaker, is a target for its row, in as many numbers as the
model is wide. A loss over next units has one number, at the agent's positions alone.
"""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from lar.distillation.training.step import DistillationStep, relative_distance
from lar.models.device import autocast
from lar.models.hidden_states import hidden_states
from lar.utils.progress import Progress, silent


def match_hidden_states(
    step: DistillationStep,
    batches: Iterable[dict[str, Tensor]],
    count: int,
    learning_rate: float,
    progress: Progress = silent,
    new: Tensor | None = None,
) -> dict[str, Any]:
    """Train the student's input rows in place: one step of Adam for each of `count` batches.

    A row changes only in steps whose batch has its latent, and only if `new`, bool (K), is true for it or
    None. Returns the mean relative distances (see `hidden_distance`) over the first and the last tenth of the
    batches.
    """
    rows = step.student.rows
    if rows is None:
        return {}
    optimizer = torch.optim.SparseAdam([rows.input], lr=learning_rate)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda done: 1 - done / count)
    distances: list[float] = []
    for done, batch in enumerate(batches):
        with torch.enable_grad(), autocast(step.student.base):
            distance = hidden_distance(step, batch)
            (gradient,) = torch.autograd.grad(distance, [rows.input])
        present = torch.unique(batch["units"][batch["units"] >= rows.base_size]) - rows.base_size
        if new is not None:
            present = present[new.to(present.device)[present]]
        rows.input.grad = torch.sparse_coo_tensor(
            present[None], gradient[present], gradient.shape, check_invariants=True
        )
        optimizer.step()  # type: ignore[no-untyped-call]
        schedule.step()
        distances.append(float(distance.detach()))
        progress(done + 1, count)
    rows.input.grad = None
    tenth = max(1, len(distances) // 10)
    return {
        "batches": len(distances),
        "distance_at_first": sum(distances[:tenth]) / tenth,
        "distance_at_last": sum(distances[-tenth:]) / tenth,
    }


def hidden_distance(step: DistillationStep, batch: dict[str, Tensor]) -> Tensor:
    """The `relative_distance` of the student's hidden states to the teacher's, over all units of the batch.

    All roles count, not only the agent.
    """
    whole = batch["unit_ends"] >= 0
    frozen = step.teacher_hidden(batch["tokens"], batch["token_positions"])[0, batch["unit_ends"][whole]]
    found = hidden_states(step.student.base, batch["units"], batch["unit_positions"])[0, whole]
    return relative_distance(found, frozen)
