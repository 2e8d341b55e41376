"""Every option of `adapt` and `distill` with its default: one home for Python, command line and record."""

import json
from dataclasses import asdict, dataclass, replace
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt

from lar.distillation.option_files import read_options
from lar.errors import OptionError
from lar.utils.checked import check_fields
from lar.utils.keywords import merge_options
from lar.utils.paths import StrPath

Loss = Literal["sft", "marginal", "paper"]
RowStart = Literal["exponential", "mean", "first", "hidden"]
OutputStart = Literal["fitted", "first"]
Sharding = Literal["none", "full"]
# Those of transformers that need no arguments of their own.
Scheduler = Literal[
    "linear",
    "cosine",
    "cosine_with_restarts",
    "polynomial",
    "constant",
    "constant_with_warmup",
    "inverse_sqrt",
]
LOSSES: tuple[str, ...] = get_args(Loss)
ROW_STARTS: tuple[str, ...] = get_args(RowStart)
OUTPUT_STARTS: tuple[str, ...] = get_args(OutputStart)

Share = Annotated[float, Field(ge=0, le=1)]
Texts = Annotated[tuple[str, ...], Field(strict=False)]  # a list, as files have it, becomes a tuple


@dataclass(frozen=True)
class AdaptOptions:
    """How a LoRA is trained. More steps help more than larger batches, so by default a batch is one window.

    The batch
        max_length: most base tokens of an example. A longer conversation is cut into windows, each of which
            starts with the conversation's beginning (see `lar.corpus.windows`).
        batch_tokens: base tokens of a batch, which is packed into one row; None for max_length.
        gradient_accumulation: batches of one optimizer step, in each process.

    The run
        max_steps: optimizer steps; None for `epochs` passes over all examples.
        save_steps: steps between two checkpoints.
        report_to: the Trainer's integrations that get the log (see `lar.distillation.training.reporting`).

    LoRA
        target_modules: the modules that get one, as PEFT takes them. Neither the head nor an embedding that
            is also the head can have one.

    The machine
        dtype: of the frozen weights of a model folder; "auto" is bfloat16 where the device is fast in it.
        device: for example "cuda:0"; None for the process's GPU if there is one.
        sharding: what each of several processes holds: a whole copy of the model ("none", DDP) or a
            part of every weight ("full", FSDP).

    Evaluation
        evaluate_steps: steps between two evaluations on held-out conversations; None: no evaluation.
        evaluated_windows: how many held-out windows are read, a sample drawn once by `seed`; None: all.
        patience: stop after this many evaluations in a row that do not lower the bits per byte by more
            than `min_improvement`, and keep the weights of the best evaluation. None: run all steps and keep
            the last weights.
    """

    lora_rank: PositiveInt = 16
    lora_alpha: PositiveInt = 32
    lora_dropout: Share = 0.0
    target_modules: str | Texts = "all-linear"
    learning_rate: PositiveFloat = 5e-4
    weight_decay: NonNegativeFloat = 0.0
    warmup_ratio: Share = 0.05
    scheduler: Scheduler = "cosine"
    max_grad_norm: PositiveFloat = 1.0
    epochs: PositiveFloat = 1.0
    max_steps: PositiveInt | None = None
    max_length: Annotated[int, Field(ge=8)] = 2048
    batch_tokens: PositiveInt | None = None
    gradient_accumulation: PositiveInt = 1
    gradient_checkpointing: bool = False
    sharding: Sharding = "none"
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0  # the range of numpy's seeds
    dtype: str = "auto"
    device: str | None = None
    save_steps: PositiveInt = 100
    logging_steps: PositiveInt = 10
    report_to: Texts = ()
    evaluate_steps: PositiveInt | None = None
    evaluated_windows: PositiveInt | None = 64
    patience: PositiveInt | None = None
    min_improvement: NonNegativeFloat = 0.0

    def __post_init__(self) -> None:
        check_fields(self)
        if self.patience is not None and self.evaluate_steps is None:
            raise OptionError("patience counts evaluations: give evaluate_steps too")

    @classmethod
    def from_file(cls, file: StrPath, **overrides: Any) -> Self:
        """The options in a YAML or JSON file (see `read_options`); `overrides` take precedence.

        Raises:
            OptionError: the file is broken, or has an unknown name or a value out of its range.
        """
        values = read_options(file)
        try:
            return merge_options(cls, None, {**values, **overrides})
        except OptionError as error:
            raise OptionError(f"{file}: {error}") from None

    def to_dict(self) -> dict[str, Any]:
        """The options as JSON-ready values."""
        values: dict[str, Any] = json.loads(json.dumps(asdict(self)))  # tuples become lists
        return values

    def as_distillation(self) -> "DistillOptions":
        """The same training as `DistillOptions`: plain cross-entropy, for a vocabulary without latents."""
        return DistillOptions(**{**vars(self), "loss": "sft"})


@dataclass(frozen=True)
class DistillOptions(AdaptOptions):
    """How a student learns its latents: the fields of `AdaptOptions` and these.

    The loss (formulas in `lar.distillation.loss`)
        loss: "sft", as a control learns too, or with a teacher: "marginal" or "paper".
        unit_weight: the weight `a` of the loss's second term, which is all there is of "sft".
        hidden_weight: the weight of a third term. It pulls the student's last hidden state at every unit
            towards the teacher's at the unit's last token. It needs the teacher's pass with any loss.
        cached_teacher: read the probabilities that `lar.score` stored with `top_k` and the same max_length,
            instead of running the teacher over each batch. For the losses with a teacher.

    The data
        latent_dropout: the share of the agent's latents that the student reads spelled out, in base tokens,
            drawn anew each epoch (see `lar.distillation.data.latent_dropout`).
        decode_only: latents are only written. Prompts and earlier turns are read in base tokens, as the
            teacher reads them and an export with `decode_only` does (`lar.distillation.data.branches`).

    The new rows
        row_learning_rate: learning rate of the latents' embedding and head rows.
        row_start: how a latent's input row starts: a weighted mean of its tokens' rows ("mean",
            "exponential", "first"; see `lar.distillation.rows.rows`), or "hidden": "exponential", then fitted
            on `hidden_batches` batches so that the model's hidden states are those after the segment.
        output_start: how its output row starts: as the row of its first token ("first"), or fitted from
            there on `fitted_batches` batches, or on fewer with 65,536 units ("fitted").

    control: train on the same data for the same steps, without latents and with the options of `as_control`.
    """

    loss: Loss = "sft"
    unit_weight: NonNegativeFloat = 1.0
    hidden_weight: NonNegativeFloat = 0.0
    latent_dropout: Share = 0.0
    decode_only: bool = False
    row_learning_rate: PositiveFloat = 1e-3
    row_start: RowStart = "exponential"
    hidden_batches: PositiveInt = 50
    output_start: OutputStart = "fitted"
    fitted_batches: PositiveInt = 100
    cached_teacher: bool = False
    control: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.cached_teacher and self.loss == "sft" and not self.control:
            raise OptionError(
                'cached_teacher needs a loss with a teacher, "marginal" or "paper"; sft has none'
            )
        if self.decode_only and (self.hidden_weight or self.row_start == "hidden"):
            raise OptionError("decode_only does not go with hidden_weight or row_start hidden")
        if self.unit_weight == 0 and self.loss == "sft" and not self.control:
            raise OptionError("with unit_weight 0 the loss sft has no term, so nothing would be learnt")

    def as_control(self) -> "DistillOptions":
        """The same training for a control: by plain cross-entropy, without a teacher.

        By the other losses it would have nothing to learn, for without latents it begins as its teacher. All
        of its gradients would be rounding errors, which Adam scales to steps of full size.
        """
        return replace(
            self,
            control=True,
            loss="sft",
            unit_weight=1.0,
            hidden_weight=0.0,
            decode_only=False,
            cached_teacher=False,
        )
