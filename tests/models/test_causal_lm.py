"""Loading a model: the dtype that "auto" takes on which processor, and damaged folders."""

import json

import pytest

pytest.importorskip("torch", reason="models need the extra `train`")

import torch

from lar.errors import OptionError, TrainingError
from lar.models import causal_lm
from lar.models.causal_lm import choose_dtype, load_model
from testing import tiny

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


@pytest.mark.parametrize("kept", [0, 4, 100, 0.5, 0.99])
def test_a_half_downloaded_model_is_one_line_with_its_folder(kept, tmp_path):
    tiny.model(40).save_pretrained(tmp_path)
    file = tmp_path / "model.safetensors"
    content = file.read_bytes()
    file.write_bytes(content[: kept if isinstance(kept, int) else int(len(content) * kept)])
    with pytest.raises(TrainingError, match="not a causal language model's folder, or damaged") as found:
        load_model(tmp_path, device="cpu")
    assert str(found.value).startswith(str(tmp_path))
    assert "\n" not in str(found.value)


def test_weights_of_other_shapes_are_one_line(tmp_path):
    tiny.model(40).save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"vocab_size": 50}))
    with pytest.raises(TrainingError, match="or damaged") as found:
        load_model(tmp_path, device="cpu")
    assert "\n" not in str(found.value)


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("CUDA out of memory")])
def test_too_little_memory_is_told_as_that(error, monkeypatch, tmp_path):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr(causal_lm.AutoModelForCausalLM, "from_pretrained", fail)
    monkeypatch.setattr(causal_lm, "check_weights", lambda _: None)
    with pytest.raises(TrainingError, match="out of memory while loading"):
        load_model(tmp_path, device="cpu", dtype="float32")


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_parameters_and_rotary_frequencies_have_the_dtypes_of_transformers(dtype, tmp_path):
    tiny.model(40).save_pretrained(tmp_path)
    found = load_model(tmp_path, device="cpu", dtype=dtype)
    expected = causal_lm.AutoModelForCausalLM.from_pretrained(tmp_path, dtype=causal_lm.DTYPES[dtype])
    assert {buffer.dtype for buffer in found.buffers()} == {torch.float32}
    for (name, value), (_, other) in zip(_tensors(found), _tensors(expected), strict=True):
        assert value.dtype == other.dtype, name
        assert torch.equal(value, other), name


def _tensors(model):
    return [*model.named_parameters(), *model.named_buffers()]


def test_an_unknown_dtype_is_refused():
    with pytest.raises(OptionError, match="float16"):
        choose_dtype("float16", CPU, LARGE)
