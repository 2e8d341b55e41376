"""What several processes do together: start, run a function in the main process for all, and add up.

Each process plans all of the data and takes its own rows, so that a step of P processes with `a` accumulated
batches each trains on the same rows as one process with P * a. At the end of an epoch, accelerate gives a
process that has no row left one of the epoch's first rows again: all must take part in each step.
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
from lar.models.device import choose_device
from lar.utils.processes import count, is_main

Result = TypeVar("Result")

# How long a process waits for the others, as in transformers: one may take longer to read a corpus.
_PATIENCE = timedelta(minutes=30)


def check_launch(model: Any, options: AdaptOptions) -> None:
    """Raise OptionError where the options do not fit the machine or how the processes were started."""
    if (
        os.environ.get("ACCELERATE_USE_FSDP") == "true"
        or os.environ.get("ACCELERATE_USE_DEEPSPEED") == "true"
    ):
        raise OptionError(
            "start without accelerate's own FSDP or DeepSpeed and set sharding to full (--sharding full): "
            "the teacher's pass and the head need to be inside the sharded module"
        )
    if count() > 1 and options.device is not None and ":" in options.device:
        raise OptionError(f"device {options.device!r} is one device, but there are {count()} processes")
    choose_device(options.device)
    if options.sharding == "none":
        return
    if count() == 1:
        raise OptionError("sharding needs several processes: start with accelerate launch or torchrun")
    if not shards_exactly():
        raise OptionError(f"sharding needs torch 2.10 or newer, this is {torch.__version__}: upgrade torch")
    if isinstance(model, torch.nn.Module):
        raise OptionError("sharding needs a model folder: a model object would be left sharded")


def start(device: torch.device) -> None:
    """Start the process group, if there are several processes: gloo for CPUs, NCCL for GPUs."""
    if count() > 1:
        PartialState(cpu=device.type == "cpu", timeout=_PATIENCE)


def from_main(function: Callable[[], Result]) -> Result:
    """The result of `function`, called in the main process only; all processes get it, or its error."""
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
    """Wait for all processes."""
    if count() > 1:
        distributed.barrier()


def greatest(value: int, device: torch.device) -> int:
    """The greatest of the processes' values, in all of them."""
    if count() == 1:
        return value
    found = torch.tensor(value, device=device)
    distributed.all_reduce(found, op=distributed.ReduceOp.MAX)
    return int(found)


def summed(values: Mapping[str, float], device: torch.device) -> dict[str, float]:
    """Each value's sum over the processes. All pass the same names in the same order."""
    if count() == 1:
        return dict(values)
    total = torch.tensor(list(values.values()), dtype=torch.float64, device=device)
    distributed.all_reduce(total)
    return dict(zip(values, total.tolist(), strict=True))
