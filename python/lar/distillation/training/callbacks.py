"""What happens between a run's steps: timing, progress, evaluation."""

import time
from collections import defaultdict
from typing import Any

from transformers import TrainerCallback

from lar.distillation.data import PackedExamples
from lar.distillation.training.distributed import greatest
from lar.utils.ending import asked
from lar.utils.progress import Progress, annotate

_NOTES = {
    "base_tokens_per_second": "{:,.0f} tokens/s",
    "eval_bits_per_byte": "{:.4f} bits/byte held out",
    "eval_latent_use": "latents used {:.0%}",
    "eval_explicit_preference": "base tokens preferred {:.0%}",
}


class ClockCallback(TrainerCallback):  # type: ignore[misc]  # transformers is not typed here
    """Adds up the seconds of steps and of the data's preparation between them, in `sums["seconds"]`.

    Evaluation, saving and logging are left out: they come after a step's end, and restart the clock.
    """

    def __init__(self, sums: defaultdict[str, float]) -> None:
        self.sums = sums
        self.began = 0.0

    def on_train_begin(self, args: Any, state: Any, control: Any, **keywords: Any) -> None:  # noqa: ARG002
        """Start the clock."""
        self.began = time.perf_counter()

    on_log = on_evaluate = on_save = on_train_begin

    def on_step_end(self, args: Any, state: Any, control: Any, **keywords: Any) -> None:  # noqa: ARG002
        """Add what has passed."""
        now = time.perf_counter()
        self.sums["seconds"] += now - self.began
        self.began = now


class EndCallback(TrainerCallback):  # type: ignore[misc]  # transformers is not typed here
    """Ends a run after the step in which a signal asks one of its processes for it, with a checkpoint.

    The line of the log before the checkpoint has the steps since the last line, as before any other.
    """

    def on_step_end(self, args: Any, state: Any, control: Any, **keywords: Any) -> None:  # noqa: ARG002
        """Ask for the checkpoint and the end."""
        if greatest(asked(), args.device):
            control.should_log = control.should_save = control.should_training_stop = True


class EpochCallback(TrainerCallback):  # type: ignore[misc]  # transformers is not typed here
    """Tells the data which epoch begins.

    The data loader of accelerate tells it too, but neither in several processes nor in the epoch in which a
    run goes on.
    """

    def __init__(self, data: PackedExamples) -> None:
        self.data = data

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **keywords: Any) -> None:  # noqa: ARG002
        """Tell it; a run that goes on begins within its epoch."""
        self.data.set_epoch(int(state.epoch or 0))


class ProgressCallback(TrainerCallback):  # type: ignore[misc]  # transformers is not typed here
    """Reports optimizer steps, their speed and the evaluations."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress
        self.notes: dict[str, str] = {}

    def on_step_end(self, args: Any, state: Any, control: Any, **keywords: Any) -> None:  # noqa: ARG002
        """Report the step."""
        self.progress(state.global_step, state.max_steps)

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **keywords: Any) -> None:  # noqa: ARG002
        """Report speed and evaluation."""
        self.notes |= {name: text.format(logs[name]) for name, text in _NOTES.items() if name in (logs or {})}
        annotate(self.progress, ", ".join(self.notes.values()))


class ScheduleCallback(TrainerCallback):  # type: ignore[misc]  # transformers is not typed here
    """Asks for evaluations, the last after the last step, and for a line of the log before each checkpoint.

    So no line of the log spans a checkpoint, and a resumed run logs the same lines as an uninterrupted one.
    """

    def __init__(self, evaluate_steps: int | None) -> None:
        self.every = evaluate_steps

    def on_step_end(self, args: Any, state: Any, control: Any, **keywords: Any) -> None:  # noqa: ARG002
        """Ask for evaluation or logging if it is due after this step."""
        step = state.global_step
        if self.every is not None and (step % self.every == 0 or step >= state.max_steps):
            control.should_evaluate = True
        if control.should_save:
            control.should_log = True
