"""The dtype of a model that is loaded: which one "auto" takes on which processor."""

import pytest

pytest.importorskip("torch", reason="models need the extra `train`")

import torch

from lar.errors import OptionError
from lar.models.causal_lm import choose_dtype

CPU, LARGE, TOY = torch.device("cpu"), 10**9, 10**6


@pytest.mark.parametrize("has_amx", [True, False])
def test_a_cpu_computes_in_bfloat16_with_amx_alone(monkeypatch, has_amx):
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True, raising=False)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: has_amx, raising=False)
    assert choose_dtype("auto", CPU, LARGE) == (torch.bfloat16 if has_amx else torch.float32)
    assert choose_dtype("auto", CPU, TOY) == torch.float32
    assert choose_dtype("bfloat16", CPU, TOY) == torch.bfloat16


def test_a_torch_that_cannot_tell_takes_float32(monkeypatch):
    monkeypatch.delattr(torch.cpu, "_is_amx_tile_supported", raising=False)
    assert choose_dtype("auto", CPU, LARGE) == torch.float32


def test_an_unknown_dtype_is_refused():
    with pytest.raises(OptionError, match="float16"):
        choose_dtype("float16", CPU, LARGE)
