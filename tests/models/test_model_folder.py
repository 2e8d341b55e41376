"""What a model's folder holds: no command begins with one that cannot be loaded."""

import json

import pytest

pytest.importorskip("torch", reason="models need the extra `train`")

from lar.errors import TrainingError
from lar.models.causal_lm import load_model
from lar.models.folder import check_causal_lm
from testing import tiny


@pytest.fixture
def folder(tmp_path, tokenizer):
    tokenizer.save(tmp_path / "model")
    tiny.model(tokenizer.base_size).save_pretrained(tmp_path / "model", max_shard_size="20KB")
    return tmp_path / "model"


def is_refused(folder, expected, *, before_loading=False):
    for check in (check_causal_lm, *(() if before_loading else (load_model,))):
        with pytest.raises(TrainingError, match=expected) as found:
            check(folder)
        assert "\n" not in str(found.value)


def test_what_can_be_loaded_is_let_through(folder):
    check_causal_lm(folder)
    load_model(folder, device="cpu")


def test_a_part_of_the_weights_is_missing(folder):
    parts = sorted(folder.glob("model-*.safetensors"))
    assert len(parts) > 1
    parts[0].unlink()
    is_refused(folder, f"1 of {len(parts)} files of weights are not there, such as {parts[0].name}")


def test_a_folder_without_weights(folder):
    for file in folder.glob("model*"):
        file.unlink()
    is_refused(folder, "has a configuration and no weights")
    (folder / "config.json").unlink()
    is_refused(folder, "has only a tokenizer; training needs the model's weights")


def test_an_index_of_something_else(folder):
    (folder / "model.safetensors.index.json").write_text("[]")
    is_refused(folder, "not an index of weights")


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"model_type": "vit"}, "vit is no causal language model"),
        ({}, "not a causal language model's folder: Unrecognized"),
    ],
)
def test_another_kind_of_model(folder, config, expected):
    (folder / "config.json").write_text(json.dumps(config))
    is_refused(folder, expected, before_loading=True)


@pytest.mark.parametrize(
    "quantization",
    [
        {"quant_method": "gptq", "bits": 4, "group_size": 128},
        {"quant_method": "awq", "bits": 4, "group_size": 128},
        {"quant_method": "bitsandbytes", "load_in_4bit": True},
    ],
)
def test_a_quantized_model_without_its_package_is_one_line(folder, quantization):
    """Whatever transformers asks for first: a package, a GPU or the tensors of that format."""
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "quantization_config": quantization}))
    with pytest.raises(TrainingError, match="not a causal language model's folder, or damaged") as found:
        load_model(folder, device="cpu")
    assert "\n" not in str(found.value)
