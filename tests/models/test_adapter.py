"""An adapter folder is the same teacher as the merged checkpoint."""

import json
import shutil

import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import GenerationConfig

from lar import adapt, distill
from lar.corpus import Corpus
from lar.distillation import AdaptOptions, DistillOptions, Student
from lar.distillation.training.bits_per_byte import bits_per_byte
from lar.errors import LarError, OptionError, TrainingError
from lar.models.adapter import base_folder
from lar.models.causal_lm import load_model
from lar.models.compatibility import quiet_peft
from lar.models.fingerprint import fingerprint
from lar.scoring.score import score
from lar.tokenizer.tokenizer import Tokenizer
from testing import tiny
from testing.few_steps import FEW


@pytest.fixture(scope="module")
def kept(corpus, teacher_folder, tmp_path_factory):
    folder = tmp_path_factory.mktemp("adapters") / "adapter"
    options = AdaptOptions(**FEW, max_steps=3, learning_rate=3e-3)
    adapt(corpus, str(teacher_folder), options, folder, merge=False)
    adapt(corpus, str(teacher_folder), options, folder.parent / "merged")
    return folder


def test_it_is_a_plain_peft_folder_with_tokenizer_and_record(kept, teacher_folder, corpus):
    names = {file.name for file in kept.iterdir()}
    assert {"adapter_config.json", "adapter_model.safetensors", "tokenizer.json", "adaptation.json"} <= names
    assert "model.safetensors" not in names
    assert json.loads((kept / "adapter_config.json").read_text())["base_model_name_or_path"] == str(
        teacher_folder
    )
    for folder, merged in ((kept, False), (kept.parent / "merged", True)):
        record = json.loads((folder / "adaptation.json").read_text())
        assert (record["merged"], record["model"]) == (merged, str(teacher_folder.resolve()))
    assert Tokenizer.load(kept).fingerprint == corpus.tokenizer.fingerprint


def test_it_is_the_merged_checkpoint(kept):
    models = [load_model(folder, device="cpu") for folder in (kept, kept.parent / "merged")]
    states = [model.state_dict() for model in models]
    assert list(states[0]) == list(states[1])
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())
    assert fingerprint(models[0]) == fingerprint(models[1])


def test_in_bfloat16_it_is_the_merged_checkpoint_too(corpus, teacher_folder, tmp_path):
    options = AdaptOptions(**FEW, max_steps=2, learning_rate=3e-3, dtype="bfloat16")
    adapt(corpus, str(teacher_folder), options, tmp_path / "adapter", merge=False)
    adapt(corpus, str(teacher_folder), options, tmp_path / "merged")
    models = [load_model(tmp_path / name, dtype="bfloat16", device="cpu") for name in ("adapter", "merged")]
    far = [
        (a.float() - b.float()).abs().max()
        for a, b in zip(models[0].parameters(), models[1].parameters(), strict=True)
    ]
    assert max(far) < 1e-2
    for a, b in zip(models[0].buffers(), models[1].buffers(), strict=True):
        assert (a.dtype, b.dtype) == (torch.float32, torch.float32)
        assert torch.equal(a, b)


def test_it_is_accepted_as_a_model(kept, corpus, vocabulary, teacher_folder, tmp_path):
    merged = kept.parent / "merged"
    found = [bits_per_byte(corpus, str(folder)).bits for folder in (kept, merged, teacher_folder)]
    assert found[0] == found[1] < found[2]
    small = Corpus.load(shutil.copytree(corpus.path, tmp_path / "corpus"))
    score(small, kept, top_k=4, max_length=256, device="cpu")
    score(small, merged, top_k=4, max_length=256, device="cpu")  # the same teacher, so no scoring is needed
    options = DistillOptions(**FEW, max_steps=2, loss="marginal", cached_teacher=True)
    student = distill(small, str(kept), vocabulary, options, tmp_path / "student")
    loaded = Student.load(tmp_path / "student", str(merged))
    assert all(torch.equal(value, loaded.state_dict()[name]) for name, value in student.state_dict().items())
    with pytest.raises(TrainingError, match="student with latents"):
        load_model(tmp_path / "student")


def test_a_peft_model_is_scored_with_its_adapter(corpus, tmp_path):
    """As `adapt` returns one that keeps its adapter apart."""
    config = LoraConfig(task_type="CAUSAL_LM", target_modules="all-linear")
    with quiet_peft():
        adapted = get_peft_model(tiny.model(corpus.tokenizer.base_size), config)
    with torch.no_grad():
        for name, value in adapted.named_parameters():
            if "lora_B" in name:
                value.normal_(std=0.1)
    found = []
    for model in (adapted, adapted.merge_and_unload()):
        small = Corpus.load(shutil.copytree(corpus.path, tmp_path / type(model).__name__))
        score(small, model, max_length=256, device="cpu")
        found.append(np.concatenate([shard.action_entropy for shard in small.shards()]))
    assert np.allclose(*found, atol=1e-2, equal_nan=True)


def test_adapters_stack(kept, corpus, tmp_path):
    options = AdaptOptions(**FEW, max_steps=1)
    adapted = adapt(corpus, str(kept), options, tmp_path / "second", merge=False)
    again = load_model(tmp_path / "second", device="cpu")
    ids = torch.arange(8)[None]
    with torch.no_grad():
        assert torch.allclose(again(ids).logits, adapted(ids).logits, atol=1e-4)


def test_a_model_is_saved_with_whatever_generation_configuration_it_has(corpus, tmp_path):
    model = tiny.model(corpus.tokenizer.base_size)
    model.generation_config = GenerationConfig(temperature=0.6)  # which transformers refuses to save
    adapt(corpus, model, AdaptOptions(**FEW, max_steps=1), tmp_path / "adapted")
    assert model.generation_config.temperature == 0.6
    assert GenerationConfig.from_pretrained(tmp_path / "adapted").temperature == 0.6


@pytest.mark.parametrize("name", ["..", "../base", "./base"])
def test_a_name_with_a_dot_is_that_of_the_adapters_neighbour(name, tmp_path, monkeypatch):
    """Where the working directory has such a folder too, as it always has a parent."""
    adapter, elsewhere = tmp_path / "export" / "adapter", tmp_path / "elsewhere" / "deep"
    for folder in (adapter / "base", adapter.parent / "base", elsewhere / "base", elsewhere.parent / "base"):
        folder.mkdir(parents=True)
    (adapter / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": name}))
    monkeypatch.chdir(elsewhere)
    assert base_folder(adapter).samefile(adapter / name)


@pytest.mark.parametrize("name", ["../gone", "gone"])
def test_where_a_missing_base_was_looked_for_is_told(name, tmp_path, monkeypatch):
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    (adapter / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": name}))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(TrainingError, match="base_model_name_or_path") as caught:
        base_folder(adapter)
    assert all(str(place) in str(caught.value) for place in (tmp_path / name, adapter / name))


def test_an_adapter_needs_a_base_with_a_name(corpus, tmp_path):
    model = tiny.model(corpus.tokenizer.base_size)
    with pytest.raises(OptionError, match="needs the folder of its base"):
        adapt(corpus, model, AdaptOptions(**FEW), tmp_path / "adapter", merge=False)


def broken_base(config):
    config["base_model_name_or_path"] = "/nowhere/at-all"


def no_base(config):
    config["base_model_name_or_path"] = None


def itself(config):
    config["base_model_name_or_path"] = "."


def another_kind(config):
    config["peft_type"] = "NOTHING"


@pytest.mark.parametrize("damage", [broken_base, no_base, itself, another_kind])
def test_a_broken_adapter_is_one_clear_line(kept, tmp_path, damage):
    folder = shutil.copytree(kept, tmp_path / "adapter")
    file = folder / "adapter_config.json"
    config = json.loads(file.read_text())
    damage(config)
    file.write_text(json.dumps(config))
    with pytest.raises(TrainingError) as caught:
        load_model(folder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["adapter_config.json", "adapter_model.safetensors"])
def test_an_adapter_of_nonsense_is_refused(kept, tmp_path, name):
    folder = shutil.copytree(kept, tmp_path / "adapter")
    (folder / name).write_text("[]")
    with pytest.raises(LarError) as caught:
        load_model(folder)
    assert "\n" not in str(caught.value)


def test_an_adapter_that_lacks_weights_is_refused(kept, tmp_path):
    """PEFT would begin them as in a new adapter: those of B are 0, as if nothing had been learnt there."""
    folder = shutil.copytree(kept, tmp_path / "adapter")
    file = folder / "adapter_model.safetensors"
    weights = load_file(file)
    left_out = next(name for name in weights if "lora_B" in name)
    save_file({name: value for name, value in weights.items() if name != left_out}, file)
    with pytest.raises(TrainingError, match=r"weights are missing: .*lora_B") as caught:
        load_model(folder)
    assert "\n" not in str(caught.value)


def test_an_adapter_of_a_base_of_another_size_is_refused(kept, corpus, tmp_path):
    folder = shutil.copytree(kept, tmp_path / "adapter")
    other = tiny.model(corpus.tokenizer.base_size)
    other.config.num_hidden_layers = 1
    other = type(other)(other.config)
    other.save_pretrained(tmp_path / "adapter" / "base")
    config = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(
        json.dumps({**config, "base_model_name_or_path": "base", "r": 3})
    )
    with pytest.raises(TrainingError, match="not an adapter of its base"):
        load_model(folder)
