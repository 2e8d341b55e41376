"""Fully sharded data parallelism (FSDP2): a process keeps a part of each weight; layers are gathered for use.

Each decoder layer is gathered before its forward and freed after it. All other weights belong to the root, a
`DistillationStep`: embedding, last norm, head and the latents' rows. They are gathered from the beginning of
the step's forward to the end of its backward. The chunked loss needs this, because it computes the gradients
of hidden states and output rows inside the forward. The teacher's pass is inside the forward too.

Accelerate is not used for sharding: it shards only on GPUs, so tests on CPUs could not cover it, and with it
the Trainer saves the whole base in each checkpoint.
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

    Frozen weights may be bfloat16 while trained weights are float32.

    Raises:
        TrainingError: the model does not name the modules that are its layers.
    """
    names = set(getattr(base, "_no_split_modules", None) or ())
    layers = [module for module in base.modules() if type(module).__name__ in names]
    if not layers:
        raise TrainingError(f"{type(base).__name__} does not declare its layers: it cannot be sharded")
    mesh = init_device_mesh(device.type, (count(),))
    for layer in layers:
        fully_shard(layer, mesh=mesh)
    fully_shard(step, mesh=mesh)
    step._is_accelerate_prepared = True  # type: ignore[assignment]  # accelerate shall not wrap it again


@contextmanager
def readable(step: nn.Module) -> Iterator[None]:
    """Within the block the model may be used outside of the step's forward; all processes must enter it."""
    if not isinstance(step, FSDPModule):
        yield
        return
    step.unshard()
    try:
        yield
    finally:
        step.reshard()


def whole(tensor: Tensor) -> Tensor:
    """The whole of a sharded tensor, for which all processes must call it; any other tensor as it is."""
    result: Tensor = tensor.full_tensor() if isinstance(tensor, DTensor) else tensor
    return result


def whole_state(optimizer: Any) -> dict[str, Any]:
    """The optimizer's state as it would be without sharding, on the CPU; all processes must call it."""
    content: dict[str, Any] = optimizer.state_dict()
    state = {
        index: {name: _on_cpu(value) for name, value in values.items()}
        for index, values in content["state"].items()
    }
    return {**content, "state": state}


def load_whole_state(optimizer: Any, content: dict[str, Any]) -> None:
    """Load the result of `whole_state`; each process takes its own part."""
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    state = {
        index: {name: like(value, parameters[index]) for name, value in values.items()}
        for index, values in content["state"].items()
    }
    optimizer.load_state_dict({**content, "state": state})


def like(value: Any, parameter: Tensor | None) -> Any:
    """A tensor with the parameter's shape, sharded like it; all else, such as a count of steps, as it is."""
    if not isinstance(parameter, DTensor) or not isinstance(value, Tensor) or value.shape != parameter.shape:
        return value
    return distribute_tensor(value.to(parameter.device), parameter.device_mesh, parameter.placements)


def _on_cpu(value: Any) -> Any:
    return whole(value).cpu() if isinstance(value, Tensor) else value
