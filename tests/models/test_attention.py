"""Packed rows give the same results as each sequence alone, with every implementation that runs here."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lar.errors import OptionError
from lar.models.attention import PACKED, choose_attention, packed_lengths
from lar.models.causal_lm import load_model
from lar.models.hidden_states import hidden_states, reads_packed
from testing import tiny

ON_CPU = ["eager", "sdpa", PACKED]


def model_with(attention, family="llama"):
    model = tiny.model(100, family=family)
    choose_attention(model, attention)
    return model


def row_of(lengths, seed=0):
    """Random ids packed as one row (1, n), and their positions."""
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(100, (1, sum(lengths)), generator=generator)
    return ids, torch.cat([torch.arange(length) for length in lengths])[None]


def states_apart(model, ids, lengths):
    """The hidden states of each sequence in its own row, concatenated."""
    return torch.cat([hidden_states(model, piece) for piece in ids.split(lengths, dim=1)], dim=1)


@pytest.mark.parametrize("family", ["llama", "qwen3"])
@pytest.mark.parametrize("attention", ON_CPU)
@settings(max_examples=15, deadline=None)
@given(lengths=st.lists(st.integers(1, 40), min_size=1, max_size=6), seed=st.integers(0, 999))
def test_packed_is_unpacked(attention, family, lengths, seed):
    model = model_with(attention, family)
    ids, positions = row_of(lengths, seed)
    with torch.no_grad():
        packed = hidden_states(model, ids, positions)
        assert torch.allclose(packed, states_apart(model, ids, lengths), atol=1e-5)
        # The same for callers that pass only position ids, as collators do.
        plain = model(input_ids=ids, position_ids=positions, use_cache=False).logits
    assert torch.allclose(plain, model.lm_head(packed), atol=1e-5)


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_packed_is_unpacked_in_families_that_read_on_over_the_border(family, caplog):
    model = tiny.of_family(family, 100)
    choose_attention(model)
    warned = []
    for lengths in ([20, 3, 40], [1, 30], [25]):
        ids, positions = row_of(lengths)
        with torch.no_grad():
            packed = hidden_states(model, ids, positions)
            assert torch.allclose(packed, states_apart(model, ids, lengths), atol=1e-4), lengths
        warned.append(sum(record.name == "lar.models.packing" for record in caplog.records))
    separates = family in ("gpt2", "gemma3_text", "qwen2_moe")
    assert warned == ([0] * 3 if separates else [1] * 3)  # it is found out once
    assert reads_packed(model) or "does not separate" in caplog.text


def test_finding_out_leaves_the_model_as_it_was_and_damaged_weights_to_the_training(caplog):
    """Weights that are not finite are reported with their conversation, and are no packed row's fault."""
    model = model_with(PACKED).train()
    with torch.no_grad():
        model.model.embed_tokens.weight[3] = torch.nan
    assert reads_packed(model)
    assert model.training
    assert caplog.text == ""


@pytest.mark.parametrize("attention", ON_CPU)
@pytest.mark.parametrize("checkpointing", [False, True])
def test_gradients_through_a_packed_row_are_those_of_its_sequences(attention, checkpointing):
    lengths = [5, 1, 30, 12]
    ids, positions = row_of(lengths)
    gradients = []
    for packed in (True, False):
        model = model_with(attention).train()
        if packed and checkpointing:
            renamed = getattr(model, "activation_checkpointing_enable", None)
            (renamed or model.gradient_checkpointing_enable)({"use_reentrant": False})
        states = hidden_states(model, ids, positions) if packed else states_apart(model, ids, lengths)
        (states * torch.arange(48)).sum().backward()
        gradients.append({name: p.grad for name, p in model.named_parameters() if p.grad is not None})
    for name, gradient in gradients[0].items():
        expected = gradients[1][name]
        assert torch.allclose(gradient, expected, rtol=1e-3, atol=1e-4 * float(expected.abs().max())), name


@pytest.mark.parametrize("padding", [0, 3])
def test_whatever_is_no_packed_row_is_as_under_sdpa(padding):
    """Rows in a batch, padded on the left, generated with a cache."""
    ids, _ = row_of([24])
    ids = ids.view(2, 12)
    mask = torch.ones_like(ids)
    mask[0, :padding] = 0
    found = []
    for attention in ("sdpa", PACKED):
        model = model_with(attention)
        generated = model.generate(
            input_ids=ids, attention_mask=mask, max_new_tokens=8, do_sample=False, pad_token_id=0
        )
        with torch.no_grad():
            found.append((hidden_states(model, ids), generated))
    assert torch.equal(found[0][0], found[1][0])
    assert torch.equal(found[0][1], found[1][1])


def test_a_sliding_window_still_slides():
    from transformers import Qwen3Config, Qwen3ForCausalLM

    torch.manual_seed(0)
    shape = {"hidden_size": 48, "intermediate_size": 96, "num_attention_heads": 4, "num_key_value_heads": 2}
    sliding = {"use_sliding_window": True, "sliding_window": 8, "max_window_layers": 1}
    config = Qwen3Config(vocab_size=100, num_hidden_layers=2, head_dim=12, **shape, **sliding)
    model = Qwen3ForCausalLM(config).eval()
    lengths = [30, 3, 20]
    ids, positions = row_of(lengths)
    found = []
    for attention in ("eager", PACKED):
        choose_attention(model, attention)
        with torch.no_grad():
            found.append(hidden_states(model, ids, positions))
    assert torch.allclose(*found, atol=1e-5)


@given(st.lists(st.integers(1, 9), min_size=1, max_size=9))
def test_lengths_are_read_from_positions(lengths):
    assert packed_lengths(row_of(lengths)[1]).tolist() == lengths


def test_a_folder_gets_the_best_there_is_and_an_object_keeps_its_own(tmp_path):
    model = tiny.model(100)
    model.save_pretrained(tmp_path / "model")
    assert load_model(tmp_path / "model", device="cpu").config._attn_implementation == PACKED
    loaded = load_model(tmp_path / "model", device="cpu", attention="eager")
    assert loaded.config._attn_implementation == "eager"
    assert load_model(loaded, device="cpu").config._attn_implementation == "eager"
    assert load_model(loaded, device="cpu", attention="sdpa").config._attn_implementation == "sdpa"


@pytest.mark.parametrize("attention", ["fast", "flash_attention_2"])
def test_unavailable_attention_is_refused(attention):
    if attention == "flash_attention_2" and torch.cuda.is_available():
        pytest.skip("a GPU may support it")
    with pytest.raises(OptionError, match=attention):
        choose_attention(tiny.model(100), attention)
