"""The fingerprint of a model, against its definition."""

import hashlib

import pytest

pytest.importorskip("torch", reason="models need the extra `train`")

import torch

from lar.models.fingerprint import fingerprint


def test_a_fingerprint_is_that_of_names_shapes_and_64_values_of_each_parameter():
    """Students, scores and checkpoints have it recorded, so it must not change from version to version."""
    module = torch.nn.Module()
    for name, shape in (("b", (5,)), ("a", (200, 3)), ("c", (127,)), ("d", (128,))):
        values = torch.linspace(-1, 3, torch.Size(shape).numel()).reshape(shape)
        module.register_parameter(name, torch.nn.Parameter(values))
    digest = hashlib.sha256()
    for name, step in (("a", 9), ("b", 1), ("c", 1), ("d", 2)):
        value = module.get_parameter(name).detach()
        digest.update(f"{name} {tuple(value.shape)}\n".encode())
        read = [value.flatten()[at * step] for at in range(min(64, value.numel()))]
        digest.update(torch.stack(read).bfloat16().float().numpy().tobytes())
    assert fingerprint(module) == fingerprint(module.bfloat16()) == digest.hexdigest()
