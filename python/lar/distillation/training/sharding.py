"""Fully sharded data parallelism (FSDP2): a process keeps a part of each weight, gathering a layer to use it.

Each decoder layer is a unit of its own, gathered before its forward and dropped after it. What is left is the
unit of the root, a `DistillationStep`: embedding, last norm, head and the latents' rows. It is whole from the
beginning of the step's forward to the end of its backward, which is what the chunked loss needs, for it takes
the gradients of hidden states and output rows inside the forward. The teacher's pass is inside it as well.

Sharding is done here and not by accelerate, which shards on GPUs alone (so that no test on CPUs could see
what GPUs run), and with which the Trainer saves the whole base in each checkpoint.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from lar.errors import TrainingError
from lar.utils.processes import count


def shard(step: nn.Module, base: Any, device: torch.device) -> None:
    """Share the weights of `step`, in place, among all processes; `base` is the transformers model in it.

    Frozen weights may be bfloat16 beside float32 ones that learn.

    Raises:
        TrainingError: the model does not name the modules that are its layers.
    """
    names = set(getattr(base, "_no_split_modules", None) or ())
    layers = [module for module in base.modules() if type(module).__name__ in names]
    if not layers:
        raise TrainingError(f"{type(base).__name__} does not name its layers: it cannot be sharded")
    mesh = init_device_mesh(device.type, (count(),))
    for layer in layers:
        fully_shard(layer, mesh=mesh)
    fully_shard(step, mesh=mesh)
    step._is_accelerate_prepared = True  # type: ignore[assignment]  # accelerate shall not wrap it again


@contextmanager
def readable(step: nn.Module) -> Iterator[None]:
    """Within the block the model may be used outside of the step's forward, by all processes in step."""
    if not isinstance(step, FSDPModule):
        yield
        return
    step.unshard()
    try:
        yield
    finally:
        step.reshard()


def whole(tensor: Tensor) -> Tensor:
    """A sharded tensor's whole, which all processes must ask for together; any other tensor as it is."""
    result: Tensor = tensor.full_tensor() if isinstance(tensor, DTensor) else tensor
    return result


def whole_state(optimizer: Any) -> dict[str, Any]:
    """The optimizer's state as it were without sharding, on the CPU; asked for by all processes together."""
    content: dict[str, Any] = optimizer.state_dict()
    state = {
        index: {name: _on_cpu(value) for name, value in values.items()}
        for index, values in content["state"].items()
    }
    return {**content, "state": state}


def load_whole_state(optimizer: Any, content: dict[str, Any]) -> None:
    """Take what `whole_state` gave, each process its own part."""
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    state = {
        index: {name: _like(value, parameters[index]) for name, value in values.items()}
        for index, values in content["state"].items()
    }
    optimizer.load_state_dict({**content, "state": state})


def _on_cpu(value: Any) -> Any:
    return whole(value).cpu() if isinstance(value, Tensor) else value


def _like(value: Any, parameter: Tensor) -> Any:
    """A moment of a sharded parameter is sharded like it; a count of steps stays as it is."""
    if not isinstance(parameter, DTensor) or not isinstance(value, Tensor) or value.shape != parameter.shape:
        return value
    return distribute_tensor(value.to(parameter.device), parameter.device_mesh, parameter.placements)
