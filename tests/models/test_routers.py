"""Linear layers that give no tensor get no LoRA, and all others do."""

import pytest

pytest.importorskip("torch", reason="models need the extra `train`")

import torch

from lar.distillation import DistillOptions
from lar.distillation.student import Student
from lar.errors import OptionError
from lar.models.routers import layers_without_tensor
from testing import tiny

EXPERTS = {"num_local_experts": 4, "num_experts_per_tok": 2}
MIXTURES = {
    "phimoe": ("mlp.router", EXPERTS),
    "llama4_text": ("feed_forward.router", {**EXPERTS, "head_dim": 12, "intermediate_size_mlp": 96}),
}


@pytest.mark.parametrize("family", MIXTURES)
def test_a_router_that_returns_its_choice_gets_no_lora(family, vocabulary):
    router, shape = MIXTURES[family]
    model = tiny.of_family(family, vocabulary.base_size, **shape)
    routers = [f"model.layers.{layer}.{router}" for layer in range(2)]
    assert layers_without_tensor(model) == routers
    ids = torch.tensor([[5, 7, vocabulary.base_size]])
    with torch.no_grad():
        expected = model(ids[:, :2]).logits
    student = Student.begin(model, vocabulary, DistillOptions(device="cpu"))
    learning = [name for name, value in student.named_parameters() if value.requires_grad]
    assert not any(".router." in name for name in learning)
    assert any(".q_proj." in name for name in learning)
    student(ids).logits.sum().backward()
    with torch.no_grad(), student.eval().teacher():
        assert torch.equal(student.base(ids[:, :2]).logits, expected)


def test_a_router_that_is_named_is_refused_and_the_model_stays_as_it_was(vocabulary):
    model = tiny.of_family("phimoe", vocabulary.base_size, **EXPERTS)
    before = list(model.named_modules())
    options = DistillOptions(device="cpu", target_modules=("q_proj", "router"))
    with pytest.raises(OptionError, match=r"layers\.0\.mlp\.router, which can have no LoRA"):
        Student.begin(model, vocabulary, options)
    assert list(model.named_modules()) == before


@pytest.mark.parametrize("family", ["falcon", "llama"])
def test_linear_layers_that_give_a_tensor_keep_their_lora(family, vocabulary):
    """Falcon has a class of its own for them."""
    model = tiny.of_family(family, vocabulary.base_size)
    assert layers_without_tensor(model) == []
    student = Student.begin(model, vocabulary, DistillOptions(device="cpu"))
    learning = {name for name, value in student.named_parameters() if value.requires_grad}
    matrices = [n for n, m in tiny.of_family(family, 40).named_modules() if isinstance(m, torch.nn.Linear)]
    for name in matrices:
        assert name == "lm_head" or any(f"{name}.lora_A." in known for known in learning), name
