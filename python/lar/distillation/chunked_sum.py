"""A loss summed over chunks of positions: logits exist for only one chunk at a time."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


class _SumOverChunks(torch.autograd.Function):
    """The sum of a loss over chunks. The gradient of each chunk is computed in the forward pass.

    So the logits of a chunk can be freed before the next one, and the head is computed only once.
    """

    @staticmethod
    def forward(
        context: Any, loss: Callable[..., Tensor], size: int, hidden: Tensor, *weights: Tensor
    ) -> Tensor:
        gradients = [torch.zeros_like(tensor, dtype=torch.float32) for tensor in (hidden, *weights)]
        total = hidden.new_zeros((), dtype=torch.float32)
        for start in range(0, len(hidden), size):
            chunk = slice(start, start + size)
            leaves = [tensor.detach().requires_grad_() for tensor in (hidden[chunk], *weights)]
            with torch.enable_grad():
                value = loss(chunk, *leaves)
            found = torch.autograd.grad(value, leaves, allow_unused=True)
            gradients[0][chunk] = found[0]
            for gradient, part in zip(gradients[1:], found[1:], strict=True):
                if part is not None:
                    gradient += part
            total += value.detach()
        context.save_for_backward(*gradients)
        context.dtypes = [tensor.dtype for tensor in (hidden, *weights)]
        return total

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> Any:
        parts = zip(context.saved_tensors, context.dtypes, strict=True)
        return (None, None, *((gradient * saved).to(dtype) for saved, dtype in parts))


def sum_over_chunks(loss: Callable[..., Tensor], size: int, hidden: Tensor, *weights: Tensor) -> Tensor:
    """The sum of `loss(chunk, hidden[chunk], *weights)` over chunks of `size` positions of hidden (n, width).

    Differentiable, once, in all tensors.
    """
    if torch.is_grad_enabled():
        result: Tensor = _SumOverChunks.apply(loss, size, hidden, *weights)
        return result
    total = hidden.new_zeros((), dtype=torch.float32)
    for start in range(0, len(hidden), size):
        chunk = slice(start, start + size)
        total += loss(chunk, hidden[chunk], *weights)
    return total
