"""What several processes do together: start, let the main one decide or write for all, and add up.

Each process has the whole of the data's plan and takes its own rows of it, so that a step of P processes
with a accumulated batches learns from the same rows as one process with P * a.
"""

import os
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, TypeVar

import torch
from accelerate import PartialState
from torch import distributed

from lar.distillation.options import AdaptOptions
from lar.errors import LarError, OptionError, TrainingError
from lar.models.compatibility import shards_exactly
from lar.utils.processes import count, is_main

Result = TypeVar("Result")

# How long a process waits for the others, as in transformers: a corpus may take one of them longer to read.
_PATIENCE = timedelta(minutes=30)


def check_launch(model: Any, options: AdaptOptions) -> None:
    """Raise OptionError where the options do not fit the way in which the processes were started."""
    if (
        os.environ.get("ACCELERATE_USE_FSDP") == "true"
        or os.environ.get("ACCELERATE_USE_DEEPSPEED") == "true"
    ):
        raise OptionError(
            "start without accelerate's own FSDP or DeepSpeed and set sharding to full (--sharding full): "
            "the teacher's pass and the head need to be inside the sharded module"
        )
    if count() > 1 and options.device is not None and ":" in options.device:
        raise OptionError(f"device {options.device!r} is one device and there are {count()} processes")
    if options.sharding == "none":
        return
    if count() == 1:
        raise OptionError("sharding needs several processes: start with accelerate launch or torchrun")
    if not shards_exactly():
        raise OptionError(f"sharding needs torch 2.10 or newer, this is {torch.__version__}: upgrade torch")
    if isinstance(model, torch.nn.Module):
        raise OptionError("sharding needs a model folder: it would leave a model object in pieces")


def start(device: torch.device) -> None:
    """Meet the other processes, if there are some: gloo between CPUs, NCCL between GPUs."""
    if count() > 1:
        PartialState(cpu=device.type == "cpu", timeout=_PATIENCE)


def from_main(function: Callable[[], Result]) -> Result:
    """Call `function` in the main process alone; all get what it returns, or raise what it raises."""
    if count() == 1:
        return function()
    outcome: list[Any] = [None, None]
    if is_main():
        try:
            outcome[0] = function()
        except Exception as error:
            outcome[1] = error if isinstance(error, LarError | OSError) else TrainingError(repr(error))
    distributed.broadcast_object_list(outcome, src=0)
    if outcome[1] is not None:
        raise outcome[1]
    result: Result = outcome[0]
    return result


def wait() -> None:
    """Wait until every process is here."""
    if count() > 1:
        distributed.barrier()


def summed(values: Mapping[str, float], device: torch.device) -> dict[str, float]:
    """Each value's sum over the processes, which all have the same names in the same order."""
    if count() == 1:
        return dict(values)
    total = torch.tensor(list(values.values()), dtype=torch.float64, device=device)
    distributed.all_reduce(total)
    return dict(zip(values, total.tolist(), strict=True))
