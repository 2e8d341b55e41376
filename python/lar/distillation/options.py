"""Every option of `adapt` and `distill` with its default: one home for Python, command line and record."""

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from lar.distillation.option_files import read_options
from lar.errors import OptionError

LOSSES = ("marginal", "paper", "sft")
ROW_STARTS = ("exponential", "mean", "first", "hidden")
OUTPUT_STARTS = ("fitted", "first")
SHARDINGS = ("none", "full")


@dataclass(frozen=True)
class AdaptOptions:
    """How LoRA learns. Steps count more than tokens, so by default a batch is what fits into one window.

    max_length: base tokens an example may have; a longer conversation is cut into windows that keep its head
    (see `lar.windows`). batch_tokens: base tokens in a batch, packed into one row; None for
    max_length. gradient_accumulation: batches of an optimizer step, in each of the processes that a launcher
    started. sharding: how these hold the model: "none", each a whole copy (DDP), or "full", each a part of
    every weight (FSDP). max_steps: optimizer steps; None for `epochs` times all examples. dtype: of the
    frozen weights of a folder, "auto" for bfloat16 where it is native. device: None for the process's own
    GPU if there is one. save_steps: steps between two checkpoints. report_to: the Trainer's integrations
    (see `lar.distillation.reporting`).

    evaluate_steps: steps between two evaluations on held-out conversations; None for no evaluation.
    evaluated_windows: how many of their windows are read, a sample that `seed` draws once; None for all.
    patience: stop after so many evaluations in a row without bits per byte that are lower by more than
    `min_improvement`, and keep the weights of the best; None for all steps and the last weights.
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
    def from_file(cls, file: str | Path, **overrides: Any) -> Self:
        """Read the options of a YAML or JSON file (see `read_options`); `overrides` go before it."""
        return cls(**{**read_options(file, cls), **overrides})

    def as_json(self) -> dict[str, Any]:
        """The options as JSON-ready values."""
        values: dict[str, Any] = json.loads(json.dumps(asdict(self)))  # tuples become lists
        return values


@dataclass(frozen=True)
class DistillOptions(AdaptOptions):
    """How a student learns its latents, besides what `AdaptOptions` has.

    loss: "marginal", "paper" or "sft" (see `lar.distillation.loss`). unit_weight: the weight `a` of the
    second term. hidden_weight: of a third, which pulls the student's last hidden state at every unit, whoever
    speaks, to the teacher's at the unit's last token (`lar.distillation.step.relative_distance`); it needs
    the teacher's pass, cached or not. row_learning_rate: of the new rows. row_start: how a latent's input row
    starts: by a mean of its tokens' rows (see `lar.distillation.rows`), or "hidden": by "exponential" and
    then matching hidden states for `hidden_batches` (see `lar.distillation.hidden_matching`). output_start:
    how its output row starts: as its "first" token's, or "fitted" from there on `fitted_batches` (see
    `lar.distillation.output_fitting`). cached_teacher: read what `lar.score` kept of the teacher with `top_k`
    and the same max_length, in place of the teacher's own pass over each batch. control: the same data and
    steps without latents.
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
