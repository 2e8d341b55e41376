"""The options of `adapt` and `distill` as keywords, so that editors complete and type checkers check them."""

from typing import TypedDict

from lar.distillation.options import Loss, OutputStart, RowStart, Scheduler, Sharding


class AdaptKeywords(TypedDict, total=False):
    """The fields of `AdaptOptions`, as keywords of `adapt`."""

    lora_rank: int
    lora_alpha: int
    lora_dropout: float
    target_modules: str | tuple[str, ...]
    learning_rate: float
    weight_decay: float
    warmup_ratio: float
    scheduler: Scheduler
    max_grad_norm: float
    epochs: float
    max_steps: int | None
    max_length: int
    batch_tokens: int | None
    gradient_accumulation: int
    gradient_checkpointing: bool
    sharding: Sharding
    seed: int
    dtype: str
    device: str | None
    save_steps: int
    logging_steps: int
    report_to: tuple[str, ...]
    evaluate_steps: int | None
    evaluated_windows: int | None
    patience: int | None
    min_improvement: float


class DistillKeywords(AdaptKeywords, total=False):
    """The fields of `DistillOptions`, as keywords of `distill`."""

    loss: Loss
    unit_weight: float
    hidden_weight: float
    latent_dropout: float
    decode_only: bool
    row_learning_rate: float
    row_start: RowStart
    hidden_batches: int
    output_start: OutputStart
    fitted_batches: int
    cached_teacher: bool
    control: bool
