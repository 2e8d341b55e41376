"""On which device, and in which dtype, a model computes."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import nn

from lar.errors import OptionError
from lar.utils.processes import count, local_rank

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
# Smaller models are toys: float32 costs them nothing and makes comparisons exact.
_TOY_PARAMETERS = 20_000_000


def choose_device(device: str | None) -> torch.device:
    """The torch device of an option; see `load_model`. Nothing is put on it.

    Raises:
        OptionError: the name is unknown, or this machine has no such device.
    """
    gpus = torch.cuda.device_count()
    try:
        target = torch.device(device or ("cuda" if gpus else "cpu"))
        if target.type not in ("cpu", "cuda"):
            torch.empty(0, device=target)
    except (RuntimeError, AssertionError) as error:
        raise OptionError(f"device {device!r} cannot be used here: {str(error).splitlines()[0]}") from None
    if target.type == "cuda" and (target.index or 0) >= gpus:
        found = {0: "no GPU", 1: "one GPU, cuda:0"}.get(gpus, f"{gpus} GPUs, cuda:0 to cuda:{gpus - 1}")
        raise OptionError(f"device {device!r} is not there: torch finds {found}")
    if str(target) == "cuda" and count() > 1:
        return torch.device("cuda", local_rank() % gpus)
    return target


def choose_dtype(dtype: str, device: torch.device, parameters: int) -> torch.dtype:
    """The torch dtype of an option. "auto" avoids bfloat16 where float32 is faster.

    That is on CPUs without AMX. With AVX512-BF16 alone it depends on the CPU: a training step of SmolLM2-135M
    takes 1.8 times as long in bfloat16 on one (Xeon), and 0.75 times on another (EPYC). Without either it
    takes hundreds of times as long.
    """
    if dtype != "auto":
        if dtype not in DTYPES:
            raise OptionError(f"dtype {dtype!r} is none of auto, {', '.join(DTYPES)}")
        return DTYPES[dtype]
    if parameters < _TOY_PARAMETERS:
        return torch.float32
    # By default torch counts GPUs before Ampere too, which only emulate it.
    fast = (
        torch.cuda.is_bf16_supported(including_emulation=False) if device.type == "cuda" else _cpu_has_amx()
    )
    return torch.bfloat16 if fast else torch.float32


def _cpu_has_amx() -> bool:
    return bool(getattr(torch.cpu, "_is_amx_tile_supported", lambda: False)())


def autocast(model: nn.Module) -> AbstractContextManager[Any]:
    """A block that computes in bfloat16 if the weights are bfloat16 (LoRA's stay float32)."""
    weight = next(model.parameters())
    if weight.dtype == torch.bfloat16:
        return torch.autocast(weight.device.type, dtype=torch.bfloat16)
    return nullcontext()
