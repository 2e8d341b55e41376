"""What the commands that need torch share: the check for the extra, and options made from the dataclasses."""

import importlib.util
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import fields
from typing import Any

import click

from lar.distillation.options import SHARDINGS
from lar.errors import MissingExtraError
from lar.processes import count

_NEEDED = ("torch", "transformers", "peft", "accelerate")

# Options of the dataclasses that the command line offers, with their help.
_HELP = {
    "learning_rate": "LoRA's learning rate.",
    "lora_rank": "LoRA's rank.",
    "lora_alpha": "LoRA's alpha.",
    "epochs": "How often each example is seen.",
    "max_steps": "Optimizer steps, in place of --epochs.",
    "max_length": "Base tokens of an example; longer conversations are cut into windows.",
    "batch_tokens": "Base tokens of a batch, packed.  [default: --max-length]",
    "gradient_accumulation": "Batches of an optimizer step, in each process.",
    "gradient_checkpointing": "Less memory, a third more time.",
    "seed": "Start values and order of the data.",
    "save_steps": "Steps between two checkpoints.",
    "logging_steps": "Steps between two lines of the record.",
    "hidden_batches": "Batches to match hidden states on, with --row-start hidden.",
    "fitted_batches": "Batches to fit output rows on, with --output-start fitted.",
    "row_learning_rate": "The new rows' learning rate.",
    "cached_teacher": "Read what `lar score --top-k` kept, in place of the teacher's own pass.",
    "hidden_weight": "Weight of the hidden states' distance.",
    "unit_weight": "Weight of the loss's second term.",
}


def needs_train_extra() -> None:
    """Raise MissingExtraError, with the command that helps, where torch or its companions are absent."""
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise MissingExtraError(f"this command needs {', '.join(missing)}: pip install 'lar[train]'")


def option_flags(options: type[Any]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """One command-line option for each field of a dataclass that has a line of help here."""
    kinds: dict[str, Any] = {"int": int, "int | None": int, "float": float}

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        for item in reversed(fields(options)):
            if item.name not in _HELP:
                continue
            flag = f"--{item.name.replace('_', '-')}"
            if isinstance(item.default, bool):
                function = click.option(flag, is_flag=True, help=_HELP[item.name])(function)
                continue
            kind = kinds[str(getattr(item.type, "__name__", item.type))]
            shown = item.default is not None
            function = click.option(
                flag, type=kind, default=item.default, show_default=shown, help=_HELP[item.name]
            )(function)
        return function

    return decorate


def sharding_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """--sharding, for the commands that several processes may share."""
    return click.option(
        "--sharding",
        type=click.Choice(SHARDINGS),
        default="none",
        show_default=True,
        help="What each of several processes holds: none, a whole model (DDP); full, a part of it (FSDP).",
    )(function)


@contextmanager
def process_group() -> Iterator[None]:
    """Within the block several processes may work together; they part when it ends without an error."""
    yield
    if count() > 1:
        from torch import distributed

        if distributed.is_initialized():
            distributed.destroy_process_group()


def device_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """--dtype and --device."""
    function = click.option("--device", help='"cpu", "cuda:0", ...  [default: a GPU if there is one]')(
        function
    )
    return click.option(
        "--dtype",
        type=click.Choice(["auto", "float32", "bfloat16"]),
        default="auto",
        show_default=True,
        help="Of the frozen weights; auto: bfloat16 where the device computes in it natively.",
    )(function)
