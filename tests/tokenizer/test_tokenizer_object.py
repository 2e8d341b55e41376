"""What one expects of a Python object, of a tokenizer; and of a latent."""

import json
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import tokenizers

from lar.errors import TokenizerError
from lar.tokenizer.tokenizer import Tokenizer
from testing import toy


class Elsewhere(os.PathLike[str]):
    """A path that is neither a string nor a Path."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __fspath__(self) -> str:
        return str(self.path)


def test_two_loads_are_equal_and_another_template_is_another(tokenizer, tmp_path):
    tokenizer.save(tmp_path)
    loads = [Tokenizer.load(path) for path in (tmp_path, str(tmp_path), Elsewhere(tmp_path))]
    assert loads == [tokenizer] * 3
    assert len({*loads, tokenizer}) == 1
    (tmp_path / "chat_template.jinja").write_text("{{ messages }}")
    assert Tokenizer.load(tmp_path) != tokenizer
    assert tokenizer != tokenizer.fingerprint


def changed(tokenizer, **parts):
    """The tokenizer with another normalizer, pre-tokenizer, decoder or setting of its model."""
    data = json.loads(tokenizer.backend.to_str())
    for name, value in parts.items():
        (data if name in data else data["model"])[name] = value
    return Tokenizer.of(tokenizers.Tokenizer.from_str(json.dumps(data)))


@pytest.mark.parametrize(
    "part",
    [
        {"normalizer": {"type": "Lowercase"}},
        {"pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True}},
        {"ignore_merges": True},
    ],
)
def test_tokenizers_that_encode_differently_are_not_equal(tokenizer, part):
    other = changed(tokenizer, **part)
    assert changed(tokenizer) != other
    assert changed(tokenizer, **part) == other


def test_tokenizers_that_find_added_tokens_differently_are_not_equal():
    one, two = toy.tokenizer(), toy.tokenizer()
    one.backend.add_tokens([tokenizers.AddedToken("<x>", lstrip=True)])
    two.backend.add_tokens([tokenizers.AddedToken("<x>", lstrip=False)])
    assert one.fingerprint == two.fingerprint
    assert one != two


def test_a_pickled_tokenizer_is_small_and_the_same(tokenizer):
    fresh = len(pickle.dumps(toy.tokenizer()))
    tokenizer.token_bytes()  # cached, and not sent to other processes
    assert tokenizer.fingerprint
    assert tokenizer.barriers.size
    sent = pickle.dumps(tokenizer)
    assert len(sent) == fresh
    again = pickle.loads(sent)
    assert again == tokenizer
    text = "It is 3 °C in Lima. ☂"
    np.testing.assert_array_equal(again.encode(text), tokenizer.encode(text))
    np.testing.assert_array_equal(again.token_bytes()[0], tokenizer.token_bytes()[0])


def test_length_and_repr(tokenizer):
    assert len(tokenizer) == tokenizer.base_size
    assert "a chat template" in repr(tokenizer)
    assert len(repr(tokenizer)) < 100


def test_a_latent_is_as_long_as_its_segment(vocabulary):
    for latent in vocabulary:
        assert len(latent) == len(latent.tokens)
        assert pickle.loads(pickle.dumps(latent)) == latent
        assert repr(latent.text) in repr(latent)
    assert len(set(vocabulary)) == len(vocabulary)


def test_text_and_ids_are_not_taken_for_each_other(tokenizer):
    with pytest.raises(TokenizerError, match="encode_batch takes a list"):
        tokenizer.encode_batch("abc")
    with pytest.raises(TokenizerError, match="decode takes ids"):
        tokenizer.decode("abc")
    assert tokenizer.decode([]) == ""
