"""Distillation itself: a transformers Trainer that carries teacher, student and loss."""

import json
import math
import shutil
import tempfile
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments, set_seed

from lar.causal_model import embedding_rows, fingerprint, load_model
from lar.corpus import Corpus
from lar.corpus.shards import read_shard
from lar.corpus.teacher_cache import CachedTeacher, CacheIdentity
from lar.distillation.data import Examples, PackedExamples
from lar.distillation.options import AdaptOptions, DistillOptions
from lar.distillation.processes import check_launch, from_main, start, summed, wait
from lar.distillation.sharding import load_whole_state, shard, whole_state
from lar.distillation.starting import start_rows
from lar.distillation.step import DistillationStep
from lar.distillation.student import OPTIONS_FILE, Student
from lar.errors import OptionError, TrainingError
from lar.files import atomic_file, check_replaceable
from lar.processes import count, is_main
from lar.progress import Progress, silent
from lar.vocabulary import LatentVocabulary

RUN_FILE = "run.json"
_SUMS = (
    "units",
    "tokens",
    "teacher",
    "unit",
    "hidden",
)  # of a batch, added up between two lines of the record


def distill(
    model: Any,
    corpus: Corpus,
    vocabulary: LatentVocabulary | None,
    options: DistillOptions | None = None,
    output: str | Path | None = None,
    *,
    progress: Progress = silent,
) -> Student:
    """Teach a model to use `vocabulary`, with itself, frozen, as the teacher.

    Several processes, started by `accelerate launch` or `torchrun`, call this with the same arguments and
    share the work: each takes rows of its own, the main process alone writes, and all return the student.

    Args:
        model: the teacher: a checkpoint folder, or a model object, into which LoRA is put in place
            (`student.unload()` takes it out again).
        corpus: conversations; all roles are reparameterized, the loss falls on the agent's units.
        vocabulary: the latents; ignored (and allowed to be None) where `options.control` is set.
        options: see `DistillOptions`.
        output: where the student is saved; None keeps it in memory alone. Checkpoints lie beside it in
            `<output>.checkpoints` until the student is saved: the same call goes on from the last one.
        progress: counts optimizer steps, in the main process.

    Raises:
        VocabularyError: the model's rows are not the vocabulary's. CorpusError: another tokenizer, or nothing
        to learn from. TrainingError: the loss is not finite. OptionError: the checkpoints are another run's.
    """
    if output is not None:
        check_replaceable(Path(output), OPTIONS_FILE)
    options = options or DistillOptions()
    check_launch(model, options)
    base = load_model(model, dtype=options.dtype, device=options.device)
    if options.control:
        vocabulary = LatentVocabulary((), embedding_rows(base), corpus.tokenizer)
    if vocabulary is None:
        raise OptionError("a vocabulary is needed, unless the run is a control")
    student = train(base, corpus, vocabulary, options, _checkpoints(output), progress)
    if options.sharding == "full":
        student = unsharded(student, model, options)

    def save() -> None:
        if output is not None:
            student.save(output)
            shutil.rmtree(_checkpoints(output) or "", ignore_errors=True)

    from_main(save)
    return student


def unsharded(student: Student, folder: str | Path, options: AdaptOptions) -> Student:
    """A sharded student with a whole base of its own in each process, read from its folder again."""
    base = load_model(folder, dtype=options.dtype, device=options.device)
    return student.on(base, options).eval()


def train(
    base: Any,
    corpus: Corpus,
    vocabulary: LatentVocabulary,
    options: AdaptOptions,
    checkpoints: Path | None,
    progress: Progress,
) -> Student:
    """Train a student of `base`, going on from the last of its `checkpoints` if there is one."""
    start(base.device)
    source = Examples(corpus, vocabulary, options.max_length, _cached_teacher(base, corpus, options))
    data = PackedExamples(source, options.batch_tokens or options.max_length, options.seed)
    identity = _identity(base, options, data)
    set_seed(options.seed)
    student = Student.begin(base, vocabulary, options)
    with tempfile.TemporaryDirectory() as temporary:
        folder = checkpoints or Path(temporary)
        from_main(lambda: _claim(folder, identity))
        trainer = DistillationTrainer(student, data, options, folder, progress)
        last = from_main(lambda: _last_checkpoint(folder))
        started = {}
        if last is None and isinstance(options, DistillOptions):
            # In every process alike, from the same batches, while the model is whole.
            started = start_rows(trainer.model, data, options, progress)
        trainer.train(resume_from_checkpoint=last)
    student.record = {
        "start": started,
        "options": options.as_json(),
        "steps": trainer.state.global_step,
        "log": trainer.state.log_history,
    }
    return student.eval()


class DistillationTrainer(Trainer):  # type: ignore[misc]  # transformers is not typed here
    """The Trainer of transformers with our step, two learning rates, and checkpoints of what learns."""

    def __init__(
        self, student: Student, data: PackedExamples, options: AdaptOptions, folder: Path, progress: Progress
    ) -> None:
        self.options = options
        self.sums: defaultdict[str, float] = defaultdict(float)
        super().__init__(
            model=DistillationStep(student, options),
            args=_arguments(options, folder, len(data), student.device),
            train_dataset=data,
            data_collator=_only,
            callbacks=[_ProgressCallback(progress if is_main() else silent)],
        )
        self.remove_callback(PrinterCallback)  # printing belongs to the command line
        if options.gradient_checkpointing:
            _checkpoint_activations(student.base)

    def create_optimizer(self, model: nn.Module | None = None) -> Any:  # noqa: ARG002 (the Trainer's signature)
        """AdamW with a learning rate of their own for the new rows."""
        if getattr(self, "optimizer", None) is None:
            if self.options.sharding == "full":  # by now the model has what a checkpoint kept
                shard(self.model, self.model.student.base, self.args.device)
            learning = [(n, p) for n, p in self.model.named_parameters() if p.requires_grad]
            rows = [p for n, p in learning if ".rows." in f".{n}"]
            others = [p for n, p in learning if ".rows." not in f".{n}"]
            groups: list[dict[str, Any]] = [{"params": others, "weight_decay": self.options.weight_decay}]
            if rows and isinstance(self.options, DistillOptions):
                groups.append({"params": rows, "lr": self.options.row_learning_rate, "weight_decay": 0.0})
            self.optimizer = torch.optim.AdamW(groups, lr=self.options.learning_rate)
        return self.optimizer

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, Tensor],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Any:
        """The mean loss of a taught unit, over all batches of an optimizer step."""
        outputs = model(**inputs)
        count = num_items_in_batch if num_items_in_batch is not None else inputs["labels"].numel()
        loss = outputs["loss"] / count
        if not math.isfinite(float(loss.detach())):
            raise TrainingError(
                f"the loss is {float(loss.detach())} at step {self.state.global_step + 1}: "
                "lower the learning rates; the last checkpoint is kept"
            )
        self.sums["units"] += inputs["labels"].numel()
        self.sums["tokens"] += inputs["tokens"].numel()
        for name in ("teacher", "unit", "hidden"):
            self.sums[name] += float(outputs.get(name, 0.0))
        if num_items_in_batch is not None and self.args.average_tokens_across_devices:
            loss = loss * self.accelerator.num_processes  # the processes' gradients are averaged
        return (loss, outputs) if return_outputs else loss

    def log(self, logs: dict[str, float], *arguments: Any, **keywords: Any) -> None:
        """Add the two terms' means over the units since the last line."""
        if "loss" in logs:
            sums = summed({name: self.sums[name] for name in _SUMS}, self.args.device)
            units = max(1.0, sums["units"])
            terms = {f"{name}_term": sums[name] / units for name in ("teacher", "unit", "hidden")}
            logs = {**logs, **terms, "base_tokens": sums["tokens"]}
            self.sums.clear()
        super().log(logs, *arguments, **keywords)

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """Write what learns, and never the base; every process has a part to give."""
        learnt = self.model.student.learnt()
        if self.args.should_save:
            folder = Path(output_dir or self.args.output_dir)
            folder.mkdir(parents=True, exist_ok=True)
            self.model.student.save_weights(folder, learnt)

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
        wait()  # the main process declares the checkpoint complete after this


class _ProgressCallback(TrainerCallback):  # type: ignore[misc]  # transformers is not typed here
    """Reports optimizer steps."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress

    def on_step_end(self, args: Any, state: Any, control: Any, **keywords: Any) -> None:  # noqa: ARG002
        self.progress(state.global_step, state.max_steps)


def _arguments(options: AdaptOptions, folder: Path, rows: int, device: torch.device) -> TrainingArguments:
    steps = options.max_steps or math.ceil(rows * options.epochs / options.gradient_accumulation / count())
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
        report_to=list(options.report_to) or "none",
        use_cpu=device.type == "cpu",
        dataloader_pin_memory=device.type == "cuda",
        ddp_find_unused_parameters=False,  # each parameter takes part in each batch's loss
        disable_tqdm=True,
        remove_unused_columns=False,
        label_names=["labels"],
    )
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
    teacher = CachedTeacher(CacheIdentity(fingerprint(base), options.max_length))
    for file in corpus.shard_files():
        teacher.size(read_shard(file.path))  # refuses
    return teacher


def _only(rows: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    return rows[0]


def _checkpoints(output: str | Path | None) -> Path | None:
    return None if output is None else Path(output).with_name(f"{Path(output).name}.checkpoints")


def _identity(base: nn.Module, options: AdaptOptions, data: PackedExamples) -> dict[str, Any]:
    """What must be the same for a run to go on: model, latents, options and data."""
    # How often a run saves or reports, and where it runs, changes nothing that is learnt.
    same = replace(options, save_steps=1, logging_steps=1, report_to=(), device=None, sharding="none")
    content = {
        "model": fingerprint(base),
        "data": data.examples.digest(),
        "options": same.as_json(),
        "processes": count(),
    }
    result: dict[str, Any] = json.loads(json.dumps(content))
    return result


def _claim(folder: Path, identity: dict[str, Any]) -> None:
    """Write the run's identity beside its checkpoints; refuse those of another run."""
    file = folder / RUN_FILE
    if not file.exists():
        with atomic_file(file) as temporary:
            temporary.write_text(json.dumps(identity, indent=2) + "\n", encoding="utf-8")
        return
    found = json.loads(file.read_text(encoding="utf-8"))
    found.setdefault("processes", 1)  # of a run that began before several were known
    different = [name for name, value in identity.items() if found.get(name) != value]
    if different:
        raise OptionError(
            f"{folder}: checkpoints of a run with other {' and '.join(different)}; "
            "remove the folder or choose another output"
        )


def _last_checkpoint(folder: Path) -> str | None:
    """The last complete checkpoint: the Trainer writes its state last, so one that was cut short has none."""
    found = [path.parent for path in folder.glob("checkpoint-*/trainer_state.json")]
    return str(max(found, key=lambda path: int(path.name.split("-")[1]))) if found else None
