"""Early stopping: when the held-out bits per byte stop falling, and which weights are kept.

All is computed from the run's log, which every checkpoint holds. So a resumed run stops at the same step.
"""

# transformers' EarlyStoppingCallback has two faults here. It compares each value with the lowest so far, so a
# slow steady fall counts as no gain. And it needs a whole checkpoint of the best step to load its weights.

import math
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import TrainerCallback, TrainerState

from lar.distillation.options import AdaptOptions
from lar.distillation.training.checkpoints import STATE_FILE

MEASURE = "eval_bits_per_byte"


@dataclass(frozen=True, slots=True)
class Course:
    """The evaluations of a run: the lowest value, and `waited`, how many came after the last gain."""

    best_step: int | None = None
    best: float = math.inf
    waited: int = 0

    @classmethod
    def of(cls, log: Iterable[dict[str, Any]], min_improvement: float) -> "Course":
        """The course of a log; a value that is lower by `min_improvement` or less is not yet a gain."""
        best_step, best, waited, reference = None, math.inf, 0, math.inf
        for line in log:
            if MEASURE not in line:
                continue
            value, waited = line[MEASURE], waited + 1
            if value < best:
                best_step, best = line["step"], value
            if value < reference - min_improvement:
                reference, waited = value, 0
        return cls(best_step, best, waited)

    def is_over(self, patience: int | None) -> bool:
        """Whether the last `patience` evaluations brought no gain."""
        return patience is not None and self.waited >= patience


def has_ended(checkpoint: Path, options: AdaptOptions) -> bool:
    """Whether the run had taken its last step when it wrote this checkpoint."""
    state = TrainerState.load_from_json(str(checkpoint / STATE_FILE))
    course = Course.of(state.log_history, options.min_improvement)
    return bool(state.global_step >= state.max_steps) or course.is_over(options.patience)


def kept_weights(log: Iterable[dict[str, Any]], options: AdaptOptions) -> dict[str, Any] | None:
    """The record of the weights that a run with patience keeps: `step`, `bits_per_byte`, `stopped_early`.

    None for a run that keeps its last weights.
    """
    course = Course.of(log, options.min_improvement)
    if options.patience is None or course.best_step is None:
        return None
    early = course.is_over(options.patience)
    return {"step": course.best_step, "bits_per_byte": course.best, "stopped_early": early}


def best_weights(folder: Path, step: int) -> Path:
    """The folder of the best weights, those of `step`."""
    return folder / f"best-{step}"


class StoppingCallback(TrainerCallback):  # type: ignore[misc]  # transformers is not typed here
    """Keeps the best weights in `folder` and ends the run when its patience is used up."""

    def __init__(self, options: AdaptOptions, folder: Path, save: Callable[[str], None]) -> None:
        self.options = options
        self.folder = folder
        self.save = save
        self.saved_step: int | None = None

    def on_evaluate(self, args: Any, state: Any, control: Any, **keywords: Any) -> None:  # noqa: ARG002
        """Keep the weights if they are the best, and end the run if the patience is used up."""
        course = Course.of(state.log_history, self.options.min_improvement)
        if course.best_step == state.global_step:
            self.save(str(best_weights(self.folder, state.global_step)))
        if course.is_over(self.options.patience):
            control.should_training_stop = control.should_log = True

    def on_epoch_end(self, args: Any, state: Any, control: Any, **keywords: Any) -> None:  # noqa: ARG002
        """Ask for a checkpoint of a run that ends, as after its last step, but where there is one.

        An evaluation is too late for it: the line of the log that goes before a checkpoint comes here.
        """
        if control.should_training_stop and self.saved_step != state.global_step:
            control.should_save = True

    def on_save(self, args: Any, state: Any, control: Any, **keywords: Any) -> None:  # noqa: ARG002
        """Remove weights that are best in no checkpoint."""
        self.saved_step = state.global_step
        course = Course.of(state.log_history, self.options.min_improvement)
        if state.is_world_process_zero:
            for folder in self.folder.glob("best-*"):
                if folder != best_weights(self.folder, course.best_step or 0):
                    shutil.rmtree(folder)
