"""The Trainer of transformers with the distillation step."""

import math
from collections import defaultdict
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import broadcast_object_list
from torch import Tensor, nn
from transformers import PrinterCallback, Trainer, TrainerState

from lar.distillation.data import PackedExamples
from lar.distillation.options import DistillOptions
from lar.distillation.student import Student
from lar.distillation.training.arguments import training_arguments
from lar.distillation.training.callbacks import (
    ClockCallback,
    EpochCallback,
    ProgressCallback,
    ScheduleCallback,
)
from lar.distillation.training.checkpoints import STATE_FILE
from lar.distillation.training.distributed import summed, wait
from lar.distillation.training.faults import not_finite
from lar.distillation.training.held_out import HeldOut
from lar.distillation.training.optimizer import optimizer_for
from lar.distillation.training.sharding import load_whole_state, readable, shard, whole_state
from lar.distillation.training.step import DistillationStep
from lar.distillation.training.stopping import StoppingCallback, best_weights, has_ended, kept_weights
from lar.utils.files import flush, writing
from lar.utils.processes import is_main
from lar.utils.progress import Progress, silent

_TERMS = ("teacher", "unit", "hidden")
_SUMS = ("units", "tokens", *_TERMS)  # of a batch, added up between two lines of the record


class DistillationTrainer(Trainer):  # type: ignore[misc]  # transformers is not typed here
    """The Trainer of transformers with our step, two learning rates, and checkpoints of trained weights."""

    control: Any

    def __init__(
        self,
        student: Student,
        data: PackedExamples,
        options: DistillOptions,
        folder: Path,
        progress: Progress,
        held_out: HeldOut | None = None,
    ) -> None:
        self.options = options
        self.folder = folder
        self.held_out = held_out
        self.sums: defaultdict[str, float] = defaultdict(float)
        self.step_rows: list[Tensor] = []  # of the data, since the last optimizer step
        callbacks = [EpochCallback(data), ScheduleCallback(options.evaluate_steps)]
        if options.patience is not None:
            callbacks.append(StoppingCallback(options, folder, self.save_model))
        super().__init__(
            model=DistillationStep(student, options),
            args=training_arguments(options, folder, len(data), student.device),
            train_dataset=data,
            data_collator=_only,
            callbacks=[
                *callbacks,
                ClockCallback(self.sums),  # after those that write weights
                ProgressCallback(progress if is_main() else silent),
            ],
        )
        self.remove_callback(PrinterCallback)  # only the command line prints
        if options.gradient_checkpointing:
            _checkpoint_activations(student.base)

    def run(self, last: Path | None = None) -> dict[str, Any]:
        """The record of the run, after training; it resumes from the checkpoint `last` if there is one."""
        if last is not None and has_ended(last, self.options):
            self.state = TrainerState.load_from_json(str(last / STATE_FILE))
            self._load_from_checkpoint(str(last))
        else:
            self.train(resume_from_checkpoint=None if last is None else str(last))
        log = self.state.log_history
        kept = kept_weights(log, self.options)
        if kept is not None:
            self._load_from_checkpoint(str(best_weights(self.folder, kept["step"])))
        record = {"options": self.options.to_dict(), "steps": self.state.global_step}
        return {**record, **({} if kept is None else {"kept": kept}), "log": log}

    def evaluate(self, *arguments: Any, **keywords: Any) -> dict[str, float]:  # noqa: ARG002 (the Trainer's signature)
        """The held-out figures, named and logged as `eval_...`; the same in every process."""
        assert self.held_out is not None
        # All use one process's figures: with different rounding, only some of them might stop.
        with readable(self.model):
            (found,) = broadcast_object_list([self.held_out.measure(self.model.student).shares()])
        metrics = {f"eval_{name}": value for name, value in found.items()}
        self.log(dict(metrics))
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def create_optimizer(self, model: nn.Module | None = None) -> Any:  # noqa: ARG002 (the Trainer's signature)
        """AdamW with a separate learning rate for the new rows."""
        if getattr(self, "optimizer", None) is None:
            if self.options.sharding == "full":  # here the checkpoint's weights are already loaded
                shard(self.model, self.model.student.base, self.args.device)
            self.optimizer = optimizer_for(self.model, self.options)
        return self.optimizer

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, Tensor],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Any:
        """The mean loss of a supervised unit, over all batches of an optimizer step."""
        row = inputs["row"]
        self.step_rows.append(row)
        outputs = model(**inputs)
        count = num_items_in_batch if num_items_in_batch is not None else inputs["labels"].numel()
        loss = outputs["loss"] / max(count, 1)
        if not math.isfinite(float(loss.detach())):
            raise self._not_finite(f"the loss is {float(loss.detach())}", [row])
        self.sums["units"] += inputs["labels"].numel()
        self.sums["tokens"] += inputs["tokens"].numel()
        for name in _TERMS:
            self.sums[name] += float(outputs.get(name, 0.0))
        if num_items_in_batch is not None and self.args.average_tokens_across_devices:
            loss = loss * self.accelerator.num_processes  # the processes' gradients are averaged
        return (loss, outputs) if return_outputs else loss

    def _get_grad_norm(self, model: nn.Module, grad_norm: Any = None) -> Any:
        norm = super()._get_grad_norm(model, grad_norm=grad_norm)
        if not math.isfinite(norm):
            raise self._not_finite(f"the gradients' norm is {norm}", self.step_rows)
        self.step_rows.clear()
        return norm

    def _not_finite(self, what: str, rows: list[Tensor]) -> Exception:
        names = dict.fromkeys(name for row in rows for name in self.train_dataset.conversations(int(row)))
        return not_finite(what, self.state.global_step + 1, list(names), self.folder)

    def log(self, logs: dict[str, float], *arguments: Any, **keywords: Any) -> None:
        """Add the terms' means over the units, and the speed, since the last line."""
        if "loss" in logs:
            sums = summed({name: self.sums[name] for name in _SUMS}, self.args.device)
            units = max(1.0, sums["units"])
            terms = {f"{name}_term": sums[name] / units for name in _TERMS}
            seconds = max(self.sums["seconds"], 1e-9)
            speed = {"base_tokens": sums["tokens"], "base_tokens_per_second": sums["tokens"] / seconds}
            logs = {**logs, **terms, **speed}
            self.sums.clear()
        super().log(logs, *arguments, **keywords)

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """Write the trained weights, without the base; every process must call it."""
        learnt = self.model.student.learnt()
        if self.args.should_save:
            folder = Path(output_dir or self.args.output_dir)
            folder.mkdir(parents=True, exist_ok=True)
            with writing(folder):
                self.model.student.save_weights(folder, learnt)
                flush(folder)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: nn.Module | None = None) -> None:  # noqa: ARG002
        self.model.student.load_weights(Path(resume_from_checkpoint))

    def _save_optimizer_and_scheduler(self, output_dir: str) -> None:
        state = whole_state(self.optimizer)
        if self.args.should_save:
            torch.save(state, Path(output_dir) / "optimizer.pt")
            torch.save(self.lr_scheduler.state_dict(), Path(output_dir) / "scheduler.pt")

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        if checkpoint is None:
            return
        folder = Path(checkpoint)
        state = torch.load(folder / "optimizer.pt", map_location="cpu", weights_only=True)
        load_whole_state(self.optimizer, state)
        self.lr_scheduler.load_state_dict(torch.load(folder / "scheduler.pt", weights_only=True))

    def _save_rng_state(self, output_dir: str) -> None:
        super()._save_rng_state(output_dir)
        wait()
        if self.args.should_save:  # then it writes the file that completes the checkpoint
            flush(Path(output_dir))


def _checkpoint_activations(model: Any) -> None:
    """Recompute activations in the backward pass; the method has two names in the supported versions."""
    renamed = getattr(model, "activation_checkpointing_enable", None)
    (renamed or model.gradient_checkpointing_enable)({"use_reentrant": False})


def _only(rows: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    return rows[0]
