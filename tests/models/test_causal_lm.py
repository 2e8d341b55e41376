"""Loading a model: its weights and dtypes, damaged folders, and too little memory."""

import json
from functools import partial

import pytest

pytest.importorskip("torch", reason="models need the extra `train`")

import torch
from safetensors.torch import load_file, save_file

from lar.errors import TrainingError
from lar.models import causal_lm
from lar.models.causal_lm import load_model
from lar.models.device import DTYPES
from testing import tiny


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


@pytest.mark.parametrize("left_out", ["lm_head.weight", "model.layers.1.self_attn.q_proj.weight"])
def test_weights_that_are_missing_are_refused_and_not_drawn_at_random(left_out, tmp_path):
    tiny.model(40).save_pretrained(tmp_path)
    file = tmp_path / "model.safetensors"
    save_file({name: value for name, value in load_file(file).items() if name != left_out}, file)
    with pytest.raises(TrainingError, match=f"1 weight is not in its files, such as {left_out}"):
        load_model(tmp_path, device="cpu")


@pytest.mark.parametrize("kind", [*tiny.FAMILIES, "tied", "vision"])
def test_a_saved_model_is_loaded_with_its_own_weights(kind, tmp_path):
    made = {"tied": partial(tiny.model, tied=True), "vision": tiny.with_vision}
    model = made.get(kind, partial(tiny.of_family, kind))(40)
    model.save_pretrained(tmp_path)
    loaded = dict(load_model(tmp_path, device="cpu").named_parameters())
    for name, value in model.named_parameters():
        assert torch.equal(loaded[name], value), name


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
    expected = causal_lm.AutoModelForCausalLM.from_pretrained(tmp_path, dtype=DTYPES[dtype])
    assert {buffer.dtype for buffer in found.buffers()} == {torch.float32}
    for (name, value), (_, other) in zip(_tensors(found), _tensors(expected), strict=True):
        assert value.dtype == other.dtype, name
        assert torch.equal(value, other), name


def _tensors(model):
    return [*model.named_parameters(), *model.named_buffers()]
