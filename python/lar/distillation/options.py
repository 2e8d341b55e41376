"""Every option of `adapt` and `distill` with its default: one home for Python, command line and record."""

import json
import math
from dataclasses import asdict, dataclass
from typing import Any, Self

from lar.distillation.option_files import read_options
from lar.errors import OptionError
from lar.utils.paths import StrPath

LOSSES = ("marginal", "paper", "sft")
ROW_STARTS = ("exponential", "mean", "first", "hidden")
OUTPUT_STARTS = ("fitted", "first")
SHARDINGS = ("none", "full")


@dataclass(frozen=True)
class AdaptOptions:
    """How a LoRA is trained. Steps count more than tokens, so by default a batch is one window.

    The batch
        max_length: most base tokens of an example. A longer conversation is cut into windows, each of which
            keeps the conversation's beginning (see `lar.corpus.windows`).
        batch_tokens: base tokens of a batch, which is packed into one row; None for max_length.
        gradient_accumulation: batches of one optimizer step, in each process.

    The run
        max_steps: optimizer steps; None for `epochs` passes over all examples.
        save_steps: steps between two checkpoints.
        report_to: integrations of transformers' Trainer (see `lar.distillation.training.reporting`).

    The machine
        dtype: of the frozen weights of a model folder; "auto" for bfloat16 where the device computes in it.
        device: for example "cuda:0"; None for the process's own GPU if there is one.
        sharding: how several processes hold the model: "none", a whole copy each (DDP), or "full", a part of
            every weight each (FSDP).

    Evaluation
        evaluate_steps: steps between two evaluations on held-out conversations; None for no evaluation.
        evaluated_windows: how many held-out windows are read, a sample drawn once by `seed`; None for all.
        patience: stop after so many evaluations in a row that do not lower the bits per byte by more than
            `min_improvement`, and keep the weights of the best one. None: run all steps, keep the last
            weights.
    """

    lora_rank: int = 16
    lora_alpha: int = 32
    lora_dropout: float = 0.0
    target_modules: str | tuple[str, ...] = "all-linear"
    learning_rate: float = 5e-4
    weight_decay: float = 0.0
    warmup_ratio: float = 0.05
    scheduler: str = "cosine"
    max_grad_norm: float = 1.0
    epochs: float = 1.0
    max_steps: int | None = None
    max_length: int = 2048
    batch_tokens: int | None = None
    gradient_accumulation: int = 1
    gradient_checkpointing: bool = False
    sharding: str = "none"
    seed: int = 0
    dtype: str = "auto"
    device: str | None = None
    save_steps: int = 100
    logging_steps: int = 10
    report_to: tuple[str, ...] = ()
    evaluate_steps: int | None = None
    evaluated_windows: int | None = 64
    patience: int | None = None
    min_improvement: float = 0.0

    def __post_init__(self) -> None:
        positive = ("lora_rank", "lora_alpha", "learning_rate", "max_grad_norm", "epochs", "max_length")
        counts = ("gradient_accumulation", "save_steps", "logging_steps")
        optional = ("max_steps", "batch_tokens", "evaluate_steps", "evaluated_windows", "patience")
        for name in (*positive, *counts, *optional):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise OptionError(f"{name} must be positive, not {value}")
        if self.max_length < 8:
            raise OptionError(f"max_length must be at least 8, not {self.max_length}")
        if self.sharding not in SHARDINGS:
            raise OptionError(f"sharding {self.sharding!r} is none of {', '.join(SHARDINGS)}")
        if self.patience is not None and self.evaluate_steps is None:
            raise OptionError("patience counts evaluations: give evaluate_steps too")
        if not 0 <= self.min_improvement < math.inf:
            raise OptionError(f"min_improvement must not be negative, is {self.min_improvement}")

    @classmethod
    def from_file(cls, file: StrPath, **overrides: Any) -> Self:
        """Read the options of a YAML or JSON file (see `read_options`); `overrides` go before it."""
        return cls(**{**read_options(file, cls), **overrides})

    def to_dict(self) -> dict[str, Any]:
        """The options as JSON-ready values."""
        values: dict[str, Any] = json.loads(json.dumps(asdict(self)))  # tuples become lists
        return values


@dataclass(frozen=True)
class DistillOptions(AdaptOptions):
    """How a student learns its latents, besides what `AdaptOptions` has.

    The loss (formulas in `lar.distillation.loss`)
        loss: "marginal", "paper" or "sft".
        unit_weight: the weight `a` of the loss's second term.
        hidden_weight: the weight of a third term. It pulls the student's last hidden state at every unit
            towards the teacher's at the unit's last token, and needs the teacher's pass in any case.
        cached_teacher: read the probabilities that `lar.score` stored with `top_k` and the same max_length,
            in place of a pass of the teacher over each batch.

    The new rows
        row_learning_rate: learning rate of the latents' embedding and head rows.
        row_start: what a latent's input row starts as: a mean of its tokens' rows ("mean", "exponential",
            "first"; see `lar.distillation.rows`), or "hidden": "exponential" first, then fitted for
            `hidden_batches` batches so that the model reads it as it reads the segment.
        output_start: what its output row starts as: the row of its "first" token, or "fitted" from there on
            `fitted_batches` batches.

    control: train on the same data for the same steps, without latents.
    """

    loss: str = "marginal"
    unit_weight: float = 1.0
    hidden_weight: float = 0.0
    row_learning_rate: float = 1e-3
    row_start: str = "exponential"
    hidden_batches: int = 50
    output_start: str = "fitted"
    fitted_batches: int = 100
    cached_teacher: bool = False
    control: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.loss not in LOSSES:
            raise OptionError(f"loss {self.loss!r} is none of {', '.join(LOSSES)}")
        if self.row_start not in ROW_STARTS:
            raise OptionError(f"row_start {self.row_start!r} is none of {', '.join(ROW_STARTS)}")
        if self.output_start not in OUTPUT_STARTS:
            known = ", ".join(OUTPUT_STARTS)
            raise OptionError(f"output_start {self.output_start!r} is none of {known}")
        if self.hidden_batches < 1 or self.fitted_batches < 1:
            raise OptionError("hidden_batches and fitted_batches must be positive")
        if not 0 < self.row_learning_rate < math.inf:
            raise OptionError(f"row_learning_rate must be positive, not {self.row_learning_rate}")
        if not 0 <= self.unit_weight < math.inf or not 0 <= self.hidden_weight < math.inf:
            raise OptionError("unit_weight and hidden_weight must not be negative")
