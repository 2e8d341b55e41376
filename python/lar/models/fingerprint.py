"""The fingerprint of a model's weights, by which results tell which model they are of."""

import hashlib
from collections.abc import Iterator

import torch
from torch import Tensor, nn


def fingerprint(model: nn.Module) -> str:
    """SHA-256 (hex) over every parameter's name, shape and 64 of its n values: each (n // 64)-th.

    They begin with the first, and of fewer than 128 values they are the first 64. (Other places would give
    other fingerprints than those that students have recorded.)
    The values are rounded to bfloat16, so that float32 and bfloat16 copies of a model have the same one.
    """
    digest = hashlib.sha256()
    for name, values in _samples(model):
        digest.update(f"{name}\n".encode())
        digest.update(values.to(torch.bfloat16).float().cpu().numpy().tobytes())
    return digest.hexdigest()


def _samples(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    for name, parameter in sorted(model.named_parameters()):
        flat = parameter.detach().reshape(-1)
        step = max(1, flat.numel() // 64)
        yield f"{name} {tuple(parameter.shape)}", flat[::step][:64]
