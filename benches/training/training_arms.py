"""The same base model trained as a control, as a student, and by the means of transformers and PEFT alone.

Each run starts from the frozen weights, which all runs share, and says when each of its steps ended and how
many base tokens it took.
"""

import copy
import gc
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from statistics import median
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from torch import Tensor
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments

import lar
from benches.mining import pipeline
from lar.distillation import DistillOptions
from lar.distillation.data import Examples, PackedExamples

TOP_K = 64
LORA, CONTROL, STUDENT, CACHED = "plain LoRA", "control", "student", "student, cached teacher"
ARMS = (LORA, CONTROL, STUDENT, CACHED)


@dataclass
class Steps:
    """When each step of a run ended, in seconds of the wall and of the processor, and its base tokens.

    The first step is the warm-up.
    """

    ended: list[float] = field(default_factory=list)
    processor: list[float] = field(default_factory=list)
    tokens: list[int] = field(default_factory=list)
    memory: int = 0

    def end(self, *_: Any) -> None:
        """Note the end of a step, when the device is done with it."""
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        self.ended.append(time.perf_counter())
        self.processor.append(time.process_time())

    @property
    def rate(self) -> float:
        """Base tokens a second after the first step."""
        return self._taken / (self.ended[-1] - self.ended[0])

    @property
    def processor_rate(self) -> float:
        """Base tokens a second of processor time: on a CPU that others use too, the steadier measure."""
        return self._taken / (self.processor[-1] - self.processor[0])

    @property
    def _taken(self) -> int:
        # The loader reads ahead, so the peer may have counted a row that no step took.
        return sum(self.tokens[1 : len(self.ended)])


@dataclass(frozen=True)
class Bench:
    """What all arms have in common."""

    model: Any
    corpus: lar.Corpus
    vocabulary: lar.LatentVocabulary
    options: DistillOptions

    def run(self, arm: str) -> Steps:
        """Train one arm from the frozen weights; memory is the process's or the GPU's peak in bytes."""
        gc.collect()
        forget_peak(self.model.device)
        found = self._plain() if arm == LORA else self._distil(arm)
        found.memory = peak_memory(self.model.device)
        return found

    def _distil(self, arm: str) -> Steps:
        """`lar.distill` as anyone calls it."""
        options = replace(self.options, control=arm == CONTROL)
        if arm == CACHED:
            keep_teacher(self.model, self.corpus, options)
            options = replace(options, cached_teacher=True)
        steps = Steps()
        student = lar.distill(
            self.corpus, sharing_weights(self.model), self.vocabulary, options, progress=steps.end
        )
        lines = [line for line in student.record["log"] if "base_tokens" in line]
        steps.tokens = [int(line["base_tokens"]) for line in lines]
        return steps

    def _plain(self) -> Steps:
        """PEFT's adapter in transformers' Trainer: the same rows, labels on the agent's tokens."""
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
    """Let the model score the corpus and keep its likeliest tokens, unless it has."""
    lar.score(corpus, sharing_weights(model), max_length=options.max_length, top_k=TOP_K)


def packed_rows(corpus: lar.Corpus, options: DistillOptions) -> PackedExamples:
    """The rows that `lar.distill` trains a control on, in its order."""
    nothing = lar.LatentVocabulary((), corpus.tokenizer)
    limit = options.batch_tokens or options.max_length
    return PackedExamples(Examples(corpus, nothing, options.max_length), limit, options.seed)


class PlainRows(torch.utils.data.Dataset[dict[str, Tensor]]):
    """Packed rows as transformers' own collators give them: input_ids, position_ids, labels."""

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
        """A row is a batch already."""
        self._steps.tokens.append(rows[0]["input_ids"].numel())
        return rows[0]


class _AtStepEnd(TrainerCallback):
    def __init__(self, call: Callable[[], None]) -> None:
        self._call = call

    def on_step_end(self, args: Any, state: Any, control: Any, **keywords: Any) -> None:  # noqa: ARG002
        self._call()


def _arguments(options: DistillOptions, folder: str, model: Any) -> TrainingArguments:
    """The Trainer's settings that `lar.distill` has too."""
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
    """A copy of the modules with the same tensors as parameters, `but` for those: adapters leave no trace."""
    own = {id(tensor) for tensor in but}
    return copy.deepcopy(model, {id(p): p for p in model.parameters() if id(p) not in own})


def forget_peak(device: torch.device) -> None:
    """Let the peak begin again from what is held now."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    else:
        pipeline.forget_peak()


def peak_memory(device: torch.device) -> int:
    """Peak bytes since then: allocated on the GPU, or resident in this process."""
    return torch.cuda.max_memory_allocated() if device.type == "cuda" else pipeline.peak_memory()


def in_turn(bench: Bench, arms: list[str], rounds: int) -> dict[str, list[Steps]]:
    """Run A B C A B C ..., one round more than counts: the first warms up."""
    found: dict[str, list[Steps]] = {arm: [] for arm in arms}
    for number in range(rounds + 1):
        for arm in arms:
            found[arm].append(bench.run(arm))
            # A run that is cut short has said what it saw.
            run = found[arm][-1]
            print(
                f"round {number}, {arm}: {run.rate:,.0f} base tokens/s, "
                f"{run.processor_rate:,.0f} a second of processor time",
                flush=True,
            )
    return {arm: runs[1:] for arm, runs in found.items()}


def summary(runs: list[Steps], against: list[Steps]) -> dict[str, float]:
    """Median tokens a second, and the median of the rounds' ratios to the arm that it stands against."""
    pairs = list(zip(runs, against, strict=True))
    return {
        "base_tokens_per_second": median(run.rate for run in runs),
        "rate_ratio": median(run.rate / other.rate for run, other in pairs),
        "processor_ratio": median(run.processor_rate / other.processor_rate for run, other in pairs),
    }
