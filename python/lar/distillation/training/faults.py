"""The error of a run that cannot go on: in which batch, what is kept, and what to change."""

from collections.abc import Sequence
from pathlib import Path

from lar.distillation.options import AdaptOptions
from lar.distillation.training.checkpoints import last_checkpoint
from lar.errors import TrainingError

_NAMED = 4


def not_finite(what: str, step: int, conversations: Sequence[str], folder: Path) -> TrainingError:
    """The error for a loss or gradients that are not finite, with the conversations of the step's batch."""
    names = ", ".join(conversations[:_NAMED])
    if len(conversations) > _NAMED:
        names += f" and {len(conversations) - _NAMED} more"
    kept = last_checkpoint(folder)
    return TrainingError(
        f"{what} at step {step}, in a batch of the conversations {names}: lower the learning rates or leave "
        f"these out; "
        + (f"the last good checkpoint is kept: {kept}" if kept else "there is no checkpoint yet")
    )


def memory_advice(options: AdaptOptions) -> str:
    """What to lower when memory does not suffice for a training step."""
    tokens = options.batch_tokens or options.max_length
    advice = (
        f"lower batch_tokens (now {tokens}; raise gradient_accumulation for it), "
        f"then max_length (now {options.max_length})"
    )
    return advice if options.gradient_checkpointing else f"{advice}, or turn gradient_checkpointing on"
