"""What the commands that need torch share: the check for the extra, and flags made from the options' fields.

jsonargparse makes such flags too, but it would replace click in every command, to save one short function.
"""

import importlib.util
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import Field, fields
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

import click
from click.core import ParameterSource

from lar.cli.common import EXISTING_FILE, MODEL, Bar
from lar.distillation.options import AdaptOptions
from lar.errors import MissingExtraError
from lar.utils.extras import install_command
from lar.utils.processes import count
from lar.utils.words import counted

_NEEDED = ("torch", "transformers", "peft", "accelerate")

# Options of the dataclasses that the command line offers, with their help.
_HELP = {
    "learning_rate": "The learning rate of LoRA.",
    "lora_rank": "The rank of LoRA.",
    "lora_alpha": "The alpha of LoRA.",
    "epochs": "The number of passes over the examples.",
    "max_steps": "The number of optimizer steps, instead of --epochs.",
    "max_length": "The number of base tokens in an example; longer conversations are cut into windows.",
    "batch_tokens": "The number of base tokens in a packed batch.  [default: --max-length]",
    "gradient_accumulation": "The number of batches in an optimizer step, in each process.",
    "gradient_checkpointing": "Recompute activations: less memory, a third more time.",
    "seed": "The seed of start values and of the order of the data.",
    "save_steps": "The number of steps between two checkpoints.",
    "logging_steps": "The number of steps between two lines of the record.",
    "report_to": "Also send the record to tensorboard (in <output>.logs), wandb, ...; may be repeated.",
    "evaluate_steps": "The number of steps between two evaluations on the held-out tasks.  [default: none]",
    "evaluated_windows": "The number of held-out windows to evaluate on, always the same.",
    "patience": "Stop after this many evaluations without a better one, and keep the best weights.",
    "min_improvement": "The bits per byte by which an evaluation must be better to count.",
    "hidden_batches": "The number of batches to match hidden states on, with --row-start hidden.",
    "fitted_batches": "The number of batches to fit output rows on, with --output-start fitted.",
    "row_learning_rate": "The learning rate of the new rows.",
    "cached_teacher": "With --loss marginal or paper: read the likely tokens that score --top-k stored, "
    "instead of running the teacher.",
    "hidden_weight": "The weight of the distance between hidden states in the loss.",
    "unit_weight": "The weight of the loss's second term, which trains the choice between a latent and its "
    "first token (with paper: all of what is learnt on latents). With --loss marginal or paper, raise it if "
    "latents are written too seldom; sft has no other term, so there it changes nothing.",
    "latent_dropout": "The share of the agent's latents that the student reads spelled out.",
    "decode_only": "Train for prompts and earlier turns in base tokens; latents are only written.",
    "sharding": "What each of several processes holds: a whole model (none, DDP) or a part (full, FSDP).",
    "loss": "The training loss of a student; a control learns by sft. sft: cross-entropy on all units, "
    "with no teacher. marginal: follow the teacher at every unit, where latents count as their first token, "
    "and train the choice of the latent: for runs that the student shall not imitate. paper: follow the "
    "teacher at base tokens only, cross-entropy on latents. docs/training.md has what was measured, "
    "docs/how-it-works.md the formulas.",
    "row_start": "The start value of a latent's input row. exponential: a mean of its tokens' rows, the last "
    "ones weighted most. mean: all alike. first: the row of its first token. hidden: exponential, then "
    "fitted on --hidden-batches so that the model reads a latent like its segment, which takes time. No "
    "other was measurably better than the default.",
    "output_start": "The start value of a latent's output row.",
}


def needs_train_extra() -> None:
    """Raise MissingExtraError, with the command that helps, where torch or its companions are absent."""
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise MissingExtraError(f"this command needs {', '.join(missing)}: {install_command('train')}")


Options = TypeVar("Options", bound=AdaptOptions)

teacher_option = click.option(
    "--model", required=True, type=MODEL, help="The teacher's folder: a checkpoint or a PEFT adapter."
)
options_file_option = click.option(
    "--options",
    "options_file",
    type=EXISTING_FILE,
    help="A YAML or JSON file of options, or a result's record; options on the command line override it.",
)


def chosen_options(kind: type[Options], file: Path | None, flags: dict[str, Any]) -> Options:
    """The options of a command: what was given on the command line, else the file's, else the defaults."""
    if file is None:
        return kind(**flags)
    source = click.get_current_context().get_parameter_source
    defaults = (ParameterSource.DEFAULT, ParameterSource.DEFAULT_MAP)
    return kind.from_file(file, **{name: flags[name] for name in flags if source(name) not in defaults})


def option_flags(options: type[Any]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """One command-line option for each field of a dataclass that has a line of help here."""
    hints = get_type_hints(options)

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        for item in reversed(fields(options)):
            if item.name in _HELP:
                function = _flag(item, hints[item.name])(function)
        return function

    return decorate


def _flag(item: Field[Any], hint: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    flag = f"--{item.name.replace('_', '-')}"
    how: dict[str, Any] = {"default": item.default, "help": _HELP[item.name]}
    if hint is bool:
        return click.option(f"{flag}/--no-{flag.removeprefix('--')}", **how)
    if get_origin(hint) is tuple:
        return click.option(flag, multiple=True, **how)
    kinds = get_args(hint) or (hint,)  # of `int | None` the first
    kind = click.Choice(kinds) if get_origin(hint) is Literal else kinds[0]
    return click.option(flag, type=kind, show_default=item.default is not None, **how)


@contextmanager
def process_group() -> Iterator[None]:
    """Within the block several processes may work together; they part when it ends without an error."""
    yield
    if count() > 1:
        from torch import distributed

        if distributed.is_initialized():
            distributed.destroy_process_group()


def taken(steps: int, bar: Bar, seconds: float) -> str:
    """The steps of a run and the time of this call, which may have gone on with a run that was stopped."""
    here = 0 if bar.first is None else steps - bar.first + 1
    of_all = "" if here == steps else f", {here:,} of them now,"
    return f"{counted(steps, 'step')}{of_all} in {seconds:.1f} s"


def course(record: dict[str, Any]) -> str:
    """How a run went, from its record: loss and held-out bits per byte, first and last or kept."""
    parts = []
    for name, label in (("loss", "loss"), ("eval_bits_per_byte", "held-out bits per byte")):
        values = [line[name] for line in record["log"] if name in line]
        if values:
            first, last = values[0], values[-1]
            parts.append(f", {label} {first:z.4f} -> {last:z.4f}")
    if "kept" in record:
        parts.append(f", kept step {record['kept']['step']} ({record['kept']['bits_per_byte']:.4f})")
    return "".join(parts)


def device_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add --dtype and --device."""
    function = click.option(
        "--device",
        callback=_there,
        help="The device to compute on, such as cpu or cuda:0.  [default: a GPU if there is one]",
    )(function)
    return click.option(
        "--dtype",
        type=click.Choice(["auto", "float32", "bfloat16"]),
        default="auto",
        show_default=True,
        help="The type of the frozen weights; auto is bfloat16 where the device computes in it natively.",
    )(function)


def _there(context: click.Context, parameter: click.Parameter, device: str | None) -> str | None:  # noqa: ARG001
    """The given device, checked before a command begins; without torch, the command says what is missing."""
    if device is not None and importlib.util.find_spec("torch"):
        from lar.models.device import choose_device

        choose_device(device)
    return device
