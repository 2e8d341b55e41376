"""Distillation itself: a transformers Trainer that carries teacher, student and loss."""

import math
import shutil
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import broadcast_object_list
from torch import Tensor, nn
from transformers import PrinterCallback, Trainer, TrainerState, TrainingArguments, set_seed

from lar.causal_model import embedding_rows, fingerprint, load_model
from lar.corpus import Corpus
from lar.corpus.shards import read_shard
from lar.corpus.teacher_cache import CachedTeacher, CacheIdentity
from lar.distillation.callbacks import ClockCallback, ProgressCallback, ScheduleCallback
from lar.distillation.checkpoints import STATE_FILE, checkpoints_beside, claim, last_checkpoint, run_identity
from lar.distillation.data import Examples, PackedExamples
from lar.distillation.faults import memory_advice, not_finite
from lar.distillation.held_out import HeldOut, held_out_windows
from lar.distillation.optimizer import optimizer_for
from lar.distillation.options import AdaptOptions, DistillOptions
from lar.distillation.reporting import check_report_to, integrations, reporting_callbacks
from lar.distillation.starting import start_rows
from lar.distillation.step import DistillationStep
from lar.distillation.stopping import StoppingCallback, best_weights, has_ended, kept_weights
from lar.distillation.student import OPTIONS_FILE, Student
from lar.errors import OptionError
from lar.files import check_replaceable
from lar.memory import advise_on_memory
from lar.progress import Progress, silent
from lar.vocabulary import LatentVocabulary


def distill(
    model: Any,
    corpus: Corpus,
    vocabulary: LatentVocabulary | None,
    options: DistillOptions | None = None,
    output: str | Path | None = None,
    *,
    held_out: Corpus | None = None,
    progress: Progress = silent,
) -> Student:
    """Teach a model to use `vocabulary`, with itself, frozen, as the teacher.

    Args:
        model: the teacher: a checkpoint folder, or a model object, into which LoRA is put in place
            (`student.unload()` takes it out again).
        corpus: conversations; all roles are reparameterized, the loss falls on the agent's units.
        vocabulary: the latents; ignored (and allowed to be None) where `options.control` is set.
        options: see `DistillOptions`.
        output: where the student is saved; None keeps it in memory alone. Checkpoints lie beside it in
            `<output>.checkpoints` until the student is saved: the same call goes on from the last one.
        held_out: conversations to evaluate on every `options.evaluate_steps` (see `lar.bits_per_byte`); of
            tasks that neither `corpus` nor the vocabulary's mining has seen.
        progress: counts optimizer steps, and may take notes of speed and evaluation.

    Raises:
        VocabularyError: the model's rows are not the vocabulary's. CorpusError: another tokenizer, or nothing
        to learn from. TrainingError: loss or gradients are not finite, or memory does not suffice.
        OptionError: the checkpoints are another run's. MissingExtraError: `report_to` needs a package.
    """
    if output is not None:
        check_replaceable(Path(output), OPTIONS_FILE)
    options = options or DistillOptions()
    check_report_to(options.report_to)
    base = load_model(model, dtype=options.dtype, device=options.device)
    if options.control:
        vocabulary = LatentVocabulary((), embedding_rows(base), corpus.tokenizer)
    if vocabulary is None:
        raise OptionError("a vocabulary is needed, unless the run is a control")
    student = train(base, corpus, vocabulary, options, checkpoints_beside(output), progress, held_out)
    if output is not None:
        student.save(output)
        shutil.rmtree(checkpoints_beside(output) or "", ignore_errors=True)
    return student


def train(
    base: Any,
    corpus: Corpus,
    vocabulary: LatentVocabulary,
    options: AdaptOptions,
    checkpoints: Path | None,
    progress: Progress,
    held_out: Corpus | None = None,
) -> Student:
    """Train a student of `base`, going on from the last of its `checkpoints` if there is one."""
    evaluated = held_out_windows(held_out, vocabulary, options)
    source = Examples(corpus, vocabulary, options.max_length, _cached_teacher(base, corpus, options))
    data = PackedExamples(source, options.batch_tokens or options.max_length, options.seed)
    identity = run_identity(base, options, data, None if evaluated is None else evaluated.examples)
    set_seed(options.seed)
    student = Student.begin(base, vocabulary, options)
    with tempfile.TemporaryDirectory() as temporary:
        folder = checkpoints or Path(temporary)
        claim(folder, identity)
        trainer = DistillationTrainer(student, data, options, folder, progress, evaluated)
        for callback in reporting_callbacks(options.report_to, checkpoints):
            trainer.add_callback(callback)
        with advise_on_memory("training", memory_advice(options)):
            started = {}
            if last_checkpoint(folder) is None and isinstance(options, DistillOptions):
                started = start_rows(trainer.model, data, options, progress)
            student.record = {"start": started, **trainer.run()}
    return student.eval()


class DistillationTrainer(Trainer):  # type: ignore[misc]  # transformers is not typed here
    """The Trainer of transformers with our step, two learning rates, and checkpoints of what learns."""

    control: Any

    def __init__(
        self,
        student: Student,
        data: PackedExamples,
        options: AdaptOptions,
        folder: Path,
        progress: Progress,
        held_out: HeldOut | None = None,
    ) -> None:
        self.options = options
        self.folder = folder
        self.held_out = held_out
        self.sums: defaultdict[str, float] = defaultdict(float)
        self.step_rows: list[Tensor] = []  # of the data, since the last optimizer step
        callbacks = [ClockCallback(self.sums), ScheduleCallback(options.evaluate_steps)]
        if options.patience is not None:
            callbacks.append(StoppingCallback(options, folder, self.save_model))
        super().__init__(
            model=DistillationStep(student, options),
            args=_arguments(options, folder, len(data), student.device),
            train_dataset=data,
            data_collator=_only,
            callbacks=[*callbacks, ProgressCallback(progress)],
        )
        self.remove_callback(PrinterCallback)  # printing belongs to the command line
        if options.gradient_checkpointing:
            _checkpoint_activations(student.base)

    def run(self) -> dict[str, Any]:
        """Train, from the last checkpoint if there is one; return the run's record."""
        last = last_checkpoint(self.folder)
        if last is not None and has_ended(last, self.options):
            self.state = TrainerState.load_from_json(str(last / STATE_FILE))
            self._load_from_checkpoint(str(last))
        else:
            self.train(resume_from_checkpoint=None if last is None else str(last))
        log = self.state.log_history
        kept = kept_weights(log, self.options)
        if kept is not None:
            self._load_from_checkpoint(str(best_weights(self.folder, kept["step"])))
        record = {"options": self.options.as_json(), "steps": self.state.global_step}
        return {**record, **({} if kept is None else {"kept": kept}), "log": log}

    def evaluate(self, *arguments: Any, **keywords: Any) -> dict[str, float]:  # noqa: ARG002 (the Trainer's signature)
        """Measure the held-out windows, on every process alike, and log the figures as `eval_...`."""
        assert self.held_out is not None
        # One process's figures for all: rounding must not let some of them stop and others go on.
        (found,) = broadcast_object_list([self.held_out.measure(self.model.student).shares()])
        metrics = {f"eval_{name}": value for name, value in found.items()}
        self.log(dict(metrics))
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def create_optimizer(self, model: nn.Module | None = None) -> Any:  # noqa: ARG002 (the Trainer's signature)
        """AdamW with a learning rate of their own for the new rows."""
        if getattr(self, "optimizer", None) is None:
            self.optimizer = optimizer_for(self.model, self.options)
        return self.optimizer

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, Tensor],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Any:
        """The mean loss of a taught unit, over all batches of an optimizer step."""
        row = inputs.pop("row")
        self.step_rows.append(row)
        outputs = model(**inputs)
        count = num_items_in_batch if num_items_in_batch is not None else inputs["labels"].numel()
        loss = outputs["loss"] / count
        if not math.isfinite(float(loss.detach())):
            raise self._not_finite(f"the loss is {float(loss.detach())}", [row])
        self.sums["units"] += inputs["labels"].numel()
        self.sums["tokens"] += inputs["tokens"].numel()
        for name in ("teacher", "unit", "hidden"):
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
        """Add the two terms' means over the units since the last line."""
        if "loss" in logs and self.sums["units"]:
            units = self.sums["units"]
            logs = {
                **logs,
                "teacher_term": self.sums["teacher"] / units,
                "unit_term": self.sums["unit"] / units,
                "hidden_term": self.sums["hidden"] / units,
            }
            logs["base_tokens"] = self.sums["tokens"]
            logs["base_tokens_per_second"] = self.sums["tokens"] / max(self.sums["seconds"], 1e-9)
            self.sums.clear()
        super().log(logs, *arguments, **keywords)

    def _save(self, output_dir: str | None = None, state_dict: dict[str, Any] | None = None) -> None:  # noqa: ARG002
        folder = Path(output_dir or self.args.output_dir)
        folder.mkdir(parents=True, exist_ok=True)
        self.model.student.save_weights(folder)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: nn.Module | None = None) -> None:  # noqa: ARG002
        self.model.student.load_weights(Path(resume_from_checkpoint))


def _arguments(options: AdaptOptions, folder: Path, rows: int, device: torch.device) -> TrainingArguments:
    steps = options.max_steps or math.ceil(rows * options.epochs / options.gradient_accumulation)
    try:
        arguments = TrainingArguments(
            output_dir=str(folder),
            per_device_train_batch_size=1,  # a row of the data is a packed batch already
            gradient_accumulation_steps=options.gradient_accumulation,
            learning_rate=options.learning_rate,
            lr_scheduler_type=options.scheduler,
            warmup_steps=math.ceil(steps * options.warmup_ratio),
            max_grad_norm=options.max_grad_norm,
            max_steps=steps,
            seed=options.seed,
            save_steps=options.save_steps,
            save_total_limit=2,
            logging_steps=options.logging_steps,
            report_to=integrations(options.report_to),
            use_cpu=device.type == "cpu",
            dataloader_pin_memory=device.type == "cuda",
            disable_tqdm=True,
            remove_unused_columns=False,
            label_names=["labels"],
        )
    except ValueError as error:
        raise OptionError(str(error).splitlines()[0]) from error
    _ = arguments.device
    arguments._n_gpu = min(1, arguments.n_gpu)  # many GPUs are for accelerate, not for DataParallel
    return arguments


def _checkpoint_activations(model: Any) -> None:
    """Trade time for memory; transformers has renamed the method within the versions that we take."""
    renamed = getattr(model, "activation_checkpointing_enable", None)
    (renamed or model.gradient_checkpointing_enable)({"use_reentrant": False})


def _cached_teacher(base: Any, corpus: Corpus, options: AdaptOptions) -> CachedTeacher | None:
    """The cache that the options ask for, found to be of this model, these windows and this corpus."""
    if not (isinstance(options, DistillOptions) and options.cached_teacher):
        return None
    teacher = CachedTeacher(CacheIdentity(fingerprint(base), options.max_length), embedding_rows(base))
    for file in corpus.shard_files():
        teacher.size(read_shard(file.path))  # refuses
    return teacher


def _only(rows: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    return rows[0]
