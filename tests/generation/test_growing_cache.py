"""A growing cache holds what transformers' cache holds, and appends in place."""

import pytest

pytest.importorskip("torch", reason="needs the extra `train`")
pytest.importorskip("transformers", reason="needs the extra `train`")

import torch
from transformers import DynamicCache, MistralConfig, Qwen2Config

from lar.generation.growing_cache import growing_cache

CONFIG = Qwen2Config(num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2)


def states(rows, count, seed):
    """Keys or values of `count` positions."""
    return torch.randn(rows, 2, count, 8, generator=torch.Generator().manual_seed(seed))


def append(cache, rows, count, seed):
    """Append to both layers, and return what the last one holds."""
    for layer in (0, 1):
        held = cache.update(states(rows, count, seed + layer), states(rows, count, seed + layer + 10), layer)
    return held


@pytest.mark.parametrize("seed", range(8))
def test_any_sequence_of_changes_equals_that_of_transformers_cache(seed):
    choose = torch.Generator().manual_seed(seed)
    grown, reference = growing_cache(CONFIG), DynamicCache(config=CONFIG)
    rows = 4
    for step in range(60):
        change = int(torch.randint(8, (), generator=choose))
        count = int(torch.randint(1, 50, (), generator=choose))
        if change == 0 and grown.get_seq_length():
            chosen = torch.randint(rows, (max(1, rows - step % 2),), generator=choose)
            rows = len(chosen)
            for cache in (grown, reference):
                cache.batch_select_indices(chosen)
        elif change == 1 and grown.get_seq_length() > count:
            for cache in (grown, reference):
                cache.crop(-count)
        elif change == 2 and step % 5 == 0:
            for cache in (grown, reference):
                cache.reset()
        found, expected = (append(cache, rows, count, 100 * step) for cache in (grown, reference))
        assert all(map(torch.equal, found, expected))
        assert grown.get_seq_length() == reference.get_seq_length()


def test_single_units_are_appended_in_place():
    cache = growing_cache(CONFIG)
    keys, _ = append(cache, 3, 900, 0)
    for step in range(200):
        grown, _ = append(cache, 3, 1, step + 1)
        assert grown.data_ptr() == keys.data_ptr()


def test_what_was_read_before_does_not_change_when_rows_are_chosen():
    cache = growing_cache(CONFIG)
    keys, _ = append(cache, 2, 5, 0)
    before = keys.clone()
    cache.batch_select_indices(torch.tensor([1, 0]))
    append(cache, 2, 3, 1)
    assert torch.equal(keys, before)


def test_sliding_windows_stay_those_of_transformers():
    config = MistralConfig(num_hidden_layers=2, sliding_window=16)
    layers = [type(layer) for layer in growing_cache(config).layers]
    assert layers == [type(layer) for layer in DynamicCache(config=config).layers]
