"""After an error the caller's model is what it was, and the same call goes on."""

import errno
from contextlib import nullcontext
from functools import partial

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from lar import adapt, distill
from lar.distillation import AdaptOptions, DistillOptions, Student
from lar.distillation.files import checkpoints_beside
from lar.distillation.rows.rows import LatentRows
from lar.distillation.training.step import DistillationStep
from lar.errors import OptionError, TrainingError
from lar.models.snapshot import Snapshot
from lar.utils.files import only_writer
from testing import tiny
from testing.few_steps import FEW, KilledError, kill_at, raises

IDS = torch.tensor([[1, 2, 3, 1, 5]])
HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


def caller_model(rows):
    """A model of a caller: partly frozen, in a mode of its own, with a hook, whose handle is returned."""
    model = tiny.model(rows).train()
    model.model.layers[0].eval()
    model.lm_head.weight.requires_grad_(False)
    return model, model.get_input_embeddings().register_forward_hook(lambda module, given, rows: None)  # noqa: ARG005


@torch.no_grad()
def picture(model):
    """All that a caller may see of a model."""
    modules = {
        name: (type(module), module.training, getattr(module, "gradient_checkpointing", None))
        for name, module in model.named_modules()
    }
    hooks = {name: [dict(getattr(module, kind)) for kind in HOOKS] for name, module in model.named_modules()}
    learning = {name: value.requires_grad for name, value in model.named_parameters()}
    return modules, hooks, learning, set(vars(model))


def assert_untouched(model, before, logits, handle):
    assert picture(model) == before
    with torch.no_grad():
        assert torch.equal(model(IDS).logits, logits)
    handle.remove()
    assert not model.get_input_embeddings()._forward_hooks


FULL = OSError(errno.ENOSPC, "No space left on device")
FAULTS = {
    "locked": (None, None, OptionError),
    "refused": (None, None, OptionError),
    "interrupted": (DistillationStep, ("forward", KeyboardInterrupt()), KeyboardInterrupt),
    "no memory": (DistillationStep, ("forward", torch.OutOfMemoryError("CUDA out of memory")), TrainingError),
    "no memory for the rows": (LatentRows, ("to", torch.OutOfMemoryError("CUDA")), torch.OutOfMemoryError),
    "the disk is full": (Student, ("save", FULL), OSError),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_failed_run_leaves_the_model_as_it_was(corpus, vocabulary, monkeypatch, tmp_path, fault):
    model, handle = caller_model(vocabulary.base_size)
    with torch.no_grad():
        logits = model(IDS).logits
    before = picture(model)
    wrong = {"target_modules": ("none",)} if fault == "refused" else {"gradient_checkpointing": True}
    options = DistillOptions(**FEW, **wrong, max_steps=1)
    output = tmp_path / "student"
    broken, how, expected = FAULTS[fault]
    held = partial(only_writer, checkpoints_beside(output)) if fault == "locked" else nullcontext
    if broken is not None:
        monkeypatch.setattr(broken, how[0], raises(how[1]))
    for _ in range(2):  # the second call fails for the same reason, not for what the first has left
        with pytest.raises(expected) as caught, held():
            distill(corpus, model, vocabulary, options, output)
        assert "adapter" not in str(caught.value)
    assert_untouched(model, before, logits, handle)


def test_the_same_call_with_the_same_model_goes_on(corpus, vocabulary, tmp_path):
    options = DistillOptions(**FEW, max_steps=4, save_steps=2)
    model = tiny.model(vocabulary.base_size)
    with pytest.raises(KilledError):
        distill(corpus, model, vocabulary, options, tmp_path / "student", progress=kill_at(3))
    resumed = distill(corpus, model, vocabulary, options, tmp_path / "student")
    whole = distill(corpus, tiny.model(vocabulary.base_size), vocabulary, options)
    assert all(torch.equal(value, resumed.state_dict()[name]) for name, value in whole.state_dict().items())


@pytest.mark.parametrize("merge", [True, False])
def test_a_failed_adaptation_leaves_the_model_as_it_was(corpus, teacher_folder, monkeypatch, tmp_path, merge):
    model, handle = caller_model(corpus.tokenizer.base_size)
    model.name_or_path = str(teacher_folder)  # an adapter needs a folder
    with torch.no_grad():
        logits = model(IDS).logits
    before = picture(model)
    with monkeypatch.context() as patched:
        if merge:
            patched.setattr(DistillationStep, "forward", raises(KeyboardInterrupt()))
        else:
            patched.setattr("lar.distillation.adapt._save", raises(FULL))
        with pytest.raises(KeyboardInterrupt if merge else OSError):
            adapt(corpus, model, AdaptOptions(**FEW, max_steps=1), tmp_path / "adapted", merge=merge)
    assert_untouched(model, before, logits, handle)
    adapt(corpus, model, AdaptOptions(**FEW, max_steps=1), tmp_path / "adapted", merge=merge)


def test_a_damaged_student_leaves_the_model_as_it_was(vocabulary, tmp_path):
    Student.begin(tiny.model(vocabulary.base_size), vocabulary, DistillOptions(**FEW)).save(tmp_path / "s")
    model, handle = caller_model(vocabulary.base_size)
    with torch.no_grad():
        logits = model(IDS).logits
    before, weights = picture(model), load_file(tmp_path / "s" / "adapter_model.safetensors")
    save_file(dict(list(weights.items())[1:]), tmp_path / "s" / "adapter_model.safetensors")
    with pytest.raises(TrainingError, match="weights are missing"):
        Student.load(tmp_path / "s", model, device="cpu")
    for name in ("latent_rows.safetensors", "adapter_model.safetensors"):
        (tmp_path / "s" / name).write_bytes(b"damaged")
        with pytest.raises(TrainingError):
            Student.load(tmp_path / "s", model, device="cpu")
    assert_untouched(model, before, logits, handle)


def test_layers_attributes_and_attention_come_back():
    model = tiny.model(64)
    attention = model.config._attn_implementation
    layers, attributes = dict(model.named_modules()), set(vars(model))

    def change():
        model.model.layers[1].mlp = nn.Identity()
        model.model.extra = nn.Identity()
        model.peft_config = {}
        model.set_attn_implementation("eager")
        assert model.config._attn_implementation != attention
        raise KilledError

    with pytest.raises(KilledError), Snapshot(model).restored_on_error():
        change()
    assert dict(model.named_modules()) == layers
    assert set(vars(model)) == attributes
    assert model.config._attn_implementation == attention
