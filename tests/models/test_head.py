"""A head changes logits as its model does, or is refused."""

import pytest

pytest.importorskip("torch", reason="models need the extra `train`")

import torch
from transformers import AutoConfig, AutoModelForCausalLM

from lar.errors import TrainingError
from lar.models.head import head_of
from lar.models.hidden_states import hidden_states
from testing import tiny

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
    config = AutoConfig.for_model(family, **SHAPE, **change)
    model = AutoModelForCausalLM.from_config(config).float().eval()
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
