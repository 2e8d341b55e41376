"""Loading a model: the dtype that "auto" takes on which processor, and damaged folders."""

import hashlib
import json
from functools import partial

import pytest

pytest.importorskip("torch", reason="models need the extra `train`")

import torch
from safetensors.torch import load_file, save_file

from lar.errors import OptionError, TrainingError
from lar.models import causal_lm
from lar.models.causal_lm import choose_device, choose_dtype, fingerprint, head_of, hidden_states, load_model
from testing import tiny

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


SHAPE = {
    "vocab_size": 60,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 1,
    "head_dim": 16,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "initializer_range": 0.5,
    "bos_token_id": None,
    "eos_token_id": None,
    "pad_token_id": None,
}


@pytest.mark.parametrize(
    ("family", "change"),
    [
        ("gemma2", {"final_logit_softcapping": 2.0}),
        ("cohere", {"logit_scale": 0.25}),
        ("granite", {"logits_scaling": 8.0}),
    ],
)
def test_a_head_changes_logits_as_its_family_does(family, change):
    torch.manual_seed(0)
    config = causal_lm.AutoConfig.for_model(family, **SHAPE, **change)
    model = causal_lm.AutoModelForCausalLM.from_config(config).float().eval()
    ids = torch.arange(7, 27)[None]
    with torch.no_grad():
        expected, states = model(input_ids=ids).logits, hidden_states(model, ids)
        found = head_of(model, 50)(states[0])
        plain = model.get_output_embeddings()(states)[0, :, :50]
    assert torch.allclose(found, expected[0, :, :50], atol=1e-5)
    assert not torch.allclose(found, plain, rtol=1e-2, atol=1e-2)


def test_a_model_that_changes_its_logits_in_another_way_is_refused(monkeypatch):
    model = tiny.model(40)
    forward = model.forward

    def doubled(*arguments, **keywords):
        output = forward(*arguments, **keywords)
        output.logits = 2 * output.logits
        return output

    monkeypatch.setattr(model, "forward", doubled)
    with pytest.raises(TrainingError, match="changes its logits in an unsupported way"):
        head_of(model, 40)


def test_each_process_takes_a_gpu_of_its_own(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert choose_device(None) == torch.device("cuda")
    monkeypatch.setenv("WORLD_SIZE", "4")
    for rank, gpu in enumerate((0, 1, 0, 1)):
        monkeypatch.setenv("LOCAL_RANK", str(rank))
        assert choose_device(None) == choose_device("cuda") == torch.device("cuda", gpu)
        assert choose_device("cuda:1") == torch.device("cuda", 1)
        assert choose_device("cpu") == torch.device("cpu")


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
