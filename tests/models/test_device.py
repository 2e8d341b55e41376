"""Which device and dtype the options give: the dtype that "auto" takes on which processor."""

import pytest

pytest.importorskip("torch", reason="models need the extra `train`")

import torch

from lar.errors import OptionError
from lar.models.device import choose_device, choose_dtype

CPU, LARGE, TOY = torch.device("cpu"), 10**9, 10**6


@pytest.mark.parametrize("has_amx", [True, False])
def test_a_cpu_computes_in_bfloat16_with_amx_alone(monkeypatch, has_amx):
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True, raising=False)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: has_amx, raising=False)
    assert choose_dtype("auto", CPU, LARGE) == (torch.bfloat16 if has_amx else torch.float32)
    assert choose_dtype("auto", CPU, TOY) == torch.float32
    assert choose_dtype("bfloat16", CPU, TOY) == torch.bfloat16


@pytest.mark.parametrize("is_native", [True, False])
def test_a_gpu_that_only_emulates_bfloat16_computes_in_float32(monkeypatch, is_native):
    def is_bf16_supported(including_emulation=True):
        return including_emulation or is_native

    monkeypatch.setattr(torch.cuda, "is_bf16_supported", is_bf16_supported)
    expected = torch.bfloat16 if is_native else torch.float32
    assert choose_dtype("auto", torch.device("cuda"), LARGE) == expected


def test_a_torch_that_cannot_tell_takes_float32(monkeypatch):
    monkeypatch.delattr(torch.cpu, "_is_amx_tile_supported", raising=False)
    assert choose_dtype("auto", CPU, LARGE) == torch.float32


def test_an_unknown_dtype_is_refused():
    with pytest.raises(OptionError, match="float16"):
        choose_dtype("float16", CPU, LARGE)


def test_each_process_takes_a_gpu_of_its_own(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert choose_device(None) == torch.device("cuda")
    monkeypatch.setenv("WORLD_SIZE", "4")
    for rank, gpu in enumerate((0, 1, 0, 1)):
        monkeypatch.setenv("LOCAL_RANK", str(rank))
        assert choose_device(None) == choose_device("cuda") == torch.device("cuda", gpu)
        assert choose_device("cuda:1") == torch.device("cuda", 1)
        assert choose_device("cpu") == torch.device("cpu")
