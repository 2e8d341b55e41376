"""One base model trained as a control, as a student, and with transformers and PEFT alone.

Each run starts from the frozen weights, which all runs share, and records when each step ended and how many
base tokens it took.
"""

import copy
import gc
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from statistics import median
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from torch import Tensor
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments

import lar
from benches.mining import pipeline
from benches.training.row_start import RowStart
from lar.distillation import DistillOptions
from lar.distillation.data import Examples, PackedExamples

TOP_K = 64
LORA, CONTROL, STUDENT, CACHED = "plain LoRA", "control", "student", "student, cached teacher"
ARMS = (LORA, CONTROL, STUDENT, CACHED)


class Steps(RowStart):
    """When each step of a run ended (seconds), and its base tokens. The first step is the warm-up."""

    def __init__(self, ended: Iterable[float] = (), tokens: Iterable[int] = (), memory: int = 0) -> None:
        super().__init__()
        self.ended = list(ended)
        self.tokens = list(tokens)
        self.memory = memory

    def __call__(self, done: int, total: int | None) -> None:  # noqa: ARG002
        """Take the progress of `lar.distill`."""
        if not self.is_starting:
            self.end()

    def end(self) -> None:
        """Record the end of a step, after the device has finished it."""
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        self.ended.append(time.perf_counter())

    @property
    def rate(self) -> float:
        """Base tokens a second after the first step."""
        # The loader reads ahead, so the peer may have counted a row that no step took.
        taken = sum(self.tokens[1 : len(self.ended)])
        return taken / (self.ended[-1] - self.ended[0])


@dataclass(frozen=True)
class Bench:
    """The model, data and options that all arms share."""

    model: Any
    corpus: lar.Corpus
    vocabulary: lar.LatentVocabulary
    options: DistillOptions

    def run(self, arm: str) -> Steps:
        """Train one arm from the frozen weights; `memory` is the peak of the process or the GPU in bytes."""
        gc.collect()
        forget_peak(self.model.device)
        found = self._plain() if arm == LORA else self._distil(arm)
        found.memory = peak_memory(self.model.device)
        return found

    def _distil(self, arm: str) -> Steps:
        """Run `lar.distill` as users call it."""
        options = replace(self.options, control=arm == CONTROL)
        if arm == CACHED:
            keep_teacher(self.model, self.corpus, options)
            options = replace(options, cached_teacher=True)
        steps = Steps()
        latents = None if arm == CONTROL else self.vocabulary
        student = lar.distill(self.corpus, sharing_weights(self.model), latents, options, progress=steps)
        lines = [line for line in student.record["log"] if "base_tokens" in line]
        steps.tokens = [int(line["base_tokens"]) for line in lines]
        return steps

    def _plain(self) -> Steps:
        """Run PEFT's adapter in transformers' Trainer: the same rows, labels on the agent's tokens."""
        options, steps = self.options, Steps()
        model = sharing_weights(self.model)
        adapted = get_peft_model(
            model,
            LoraConfig(
                r=options.lora_rank,
                lora_alpha=options.lora_alpha,
                lora_dropout=options.lora_dropout,
                target_modules=options.target_modules,
                task_type="CAUSAL_LM",
            ),
        )
        rows = PlainRows(packed_rows(self.corpus, options), steps)
        with tempfile.TemporaryDirectory() as folder:
            trainer = Trainer(
                model=adapted,
                args=_arguments(options, folder, model),
                train_dataset=rows,
                data_collator=rows.collate,
                callbacks=[_AtStepEnd(steps.end)],
            )
            trainer.remove_callback(PrinterCallback)
            if options.gradient_checkpointing:
                renamed = getattr(model, "activation_checkpointing_enable", None)
                (renamed or model.gradient_checkpointing_enable)({"use_reentrant": False})
            trainer.train()
        return steps


def keep_teacher(model: Any, corpus: lar.Corpus, options: DistillOptions) -> None:
    """Score the corpus with the model and store its likeliest tokens, unless that is done."""
    lar.score(corpus, sharing_weights(model), max_length=options.max_length, top_k=TOP_K)


def packed_rows(corpus: lar.Corpus, options: DistillOptions) -> PackedExamples:
    """The packed rows on which `lar.distill` trains a control, in the same order."""
    nothing = lar.LatentVocabulary((), corpus.tokenizer)
    limit = options.batch_tokens or options.max_length
    return PackedExamples(Examples(corpus, nothing, options.max_length), limit, options.seed)


class PlainRows(torch.utils.data.Dataset[dict[str, Tensor]]):
    """Packed rows in the format of transformers' collators: input_ids, position_ids, labels."""

    def __init__(self, packed: PackedExamples, steps: Steps) -> None:
        self._packed, self._steps = packed, steps

    def __len__(self) -> int:
        return len(self._packed)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        row = self._packed[index]
        labels = torch.full_like(row["tokens"], -100)
        labels[0, row["student_at"] + 1] = row["labels"]
        return {"input_ids": row["tokens"], "position_ids": row["token_positions"], "labels": labels}

    def collate(self, rows: list[dict[str, Tensor]]) -> dict[str, Tensor]:
        """Return the one row, which is a batch already."""
        self._steps.tokens.append(rows[0]["input_ids"].numel())
        return rows[0]


class _AtStepEnd(TrainerCallback):
    def __init__(self, call: Callable[[], None]) -> None:
        self._call = call

    def on_step_end(self, args: Any, state: Any, control: Any, **keywords: Any) -> None:  # noqa: ARG002
        self._call()


def _arguments(options: DistillOptions, folder: str, model: Any) -> TrainingArguments:
    """The Trainer's arguments with the settings of `lar.distill`."""
    on_gpu = model.device.type == "cuda"
    arguments = TrainingArguments(
        output_dir=folder,
        per_device_train_batch_size=1,
        learning_rate=options.learning_rate,
        lr_scheduler_type=options.scheduler,
        max_grad_norm=options.max_grad_norm,
        max_steps=options.max_steps,
        seed=options.seed,
        save_strategy="no",
        logging_steps=1,
        report_to="none",
        use_cpu=not on_gpu,
        bf16=model.dtype == torch.bfloat16,
        dataloader_pin_memory=on_gpu,
        disable_tqdm=True,
        remove_unused_columns=False,
        label_names=["labels"],
    )
    _ = arguments.device
    arguments._n_gpu = min(1, arguments.n_gpu)
    return arguments


def sharing_weights(model: Any, *, but: Iterable[Tensor] = ()) -> Any:
    """A copy of the modules that shares all parameters except `but`, so that adapters leave no trace."""
    own = {id(tensor) for tensor in but}
    return copy.deepcopy(model, {id(p): p for p in model.parameters() if id(p) not in own})


def forget_peak(device: torch.device) -> None:
    """Reset the peak to the memory in use now."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    else:
        pipeline.forget_peak()


def peak_memory(device: torch.device) -> int:
    """Peak bytes since the last reset: allocated on the GPU, or resident in this process."""
    return torch.cuda.max_memory_allocated() if device.type == "cuda" else pipeline.peak_memory()


def run_alternating(bench: Bench, arms: list[str], rounds: int) -> dict[str, list[Steps]]:
    """Run the arms A B C A B C ..., `rounds` rounds after one that warms up and does not count."""
    found: dict[str, list[Steps]] = {arm: [] for arm in arms}
    for number in range(rounds + 1):
        for arm in arms:
            found[arm].append(bench.run(arm))
            # Printed at once, so that an interrupted bench leaves its figures.
            print(f"round {number}, {arm}: {found[arm][-1].rate:,.0f} base tokens/s", flush=True)
    return {arm: runs[1:] for arm, runs in found.items()}


def summary(runs: list[Steps], against: list[Steps]) -> dict[str, float]:
    """Medians: base tokens a second, the rounds' ratios to the arm `against`, seconds of the rows' start."""
    pairs = list(zip(runs, against, strict=True))
    return {
        "base_tokens_per_second": median(run.rate for run in runs),
        "rate_ratio": median(run.rate / other.rate for run, other in pairs),
        "start_seconds": median(run.start_seconds for run in runs),
    }
