"""Texts that are encoded once: the same ids as without, for any tokenizer and any order."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken

from lar.corpus import known_texts
from lar.corpus.known_texts import KnownTexts
from lar.tokenizer.pieces import partings
from lar.tokenizer.tokenizer import Tokenizer
from testing import toy

PLAIN = {"special": True, "normalized": False}
# Added tokens beside the toy's own: with flags, overlapping others, and within another one.
ADDED = [
    AddedToken("<|strips|>", lstrip=True, rstrip=True, **PLAIN),
    AddedToken("<|word|>", single_word=True, **PLAIN),
    AddedToken("<|a|>", **PLAIN),
    AddedToken("<|a|><|b|>", **PLAIN),
    AddedToken("|><", **PLAIN),
    AddedToken("[tool]", special=False, normalized=False),
]


def with_added(*added: AddedToken) -> Tokenizer:
    backend = tokenizers.Tokenizer.from_str(toy.tokenizer().backend.to_str())
    backend.add_tokens(list(added))
    return Tokenizer(backend)


TOKENIZERS = {"toy": toy.tokenizer(), "added": with_added(*ADDED), "flags": with_added(*ADDED[:2])}
PIECES = ["<|im_start|>", "<|im_end|>", "<|im_", "end|>", "<|b|>", *(token.content for token in ADDED)]
PIECES += ["user", "\n", " ", "  ", "a", "I look up", ".", "é", "7"]
texts = st.lists(st.sampled_from(PIECES), max_size=12).map("".join)


@pytest.fixture(scope="module", params=[*TOKENIZERS, "qwen3"])
def some_tokenizer(request) -> Tokenizer:
    """A tokenizer whose special tokens part texts."""
    if request.param in TOKENIZERS:
        return TOKENIZERS[request.param]
    folder = request.getfixturevalue("shared") / "tokenizers" / "qwen3"
    if not folder.is_dir():
        pytest.skip("no shared/tokenizers/qwen3")
    return Tokenizer.load(folder)


def check(known, tokenizer, batch):
    for found, expected in zip(known.encode_batch(batch), tokenizer.encode_batch(batch), strict=True):
        np.testing.assert_array_equal(found, expected)
        assert found.dtype == expected.dtype


@settings(deadline=None)
@given(st.lists(st.lists(texts, max_size=6), max_size=4))
def test_the_ids_are_those_of_the_tokenizer(some_tokenizer, batches):
    known = KnownTexts(some_tokenizer)
    for batch in batches:
        check(known, some_tokenizer, batch)


def test_texts_are_parted_after_plain_special_tokens_only():
    assert {"<|im_end|>", "<|im_start|>"} <= parted_after(TOKENIZERS["toy"])
    found = parted_after(TOKENIZERS["added"])
    # "|><" begins within the others; "[tool]" is not special.
    assert found == set()
    assert parted_after(TOKENIZERS["flags"]) == parted_after(TOKENIZERS["toy"])


def parted_after(tokenizer):
    """The added tokens after which texts are parted."""
    pattern = partings(tokenizer)
    contents = [token.content for token in tokenizer.backend.get_added_tokens_decoder().values()]
    return {content for content in contents if pattern is not None and pattern.fullmatch(content)}


@pytest.mark.parametrize("most", [0, 20, 60])
def test_a_bound_on_what_is_kept_changes_nothing(monkeypatch, most):
    monkeypatch.setattr(known_texts, "MOST_CHARACTERS", most)
    tokenizer = toy.tokenizer()
    known = KnownTexts(tokenizer)
    for _ in range(3):
        check(known, tokenizer, ["<|im_end|>a b c<|im_end|>I look up", "a b c<|im_end|>", "", "7" * 40])
        assert known._characters == sum(map(len, known._ids)) <= most


def test_what_recurs_is_encoded_once(monkeypatch):
    tokenizer, encoded = toy.tokenizer(), []
    known = KnownTexts(tokenizer)
    encode = tokenizer.encode_batch
    monkeypatch.setattr(tokenizer, "encode_batch", lambda batch: encoded.extend(batch) or encode(batch))
    prompt = "<|im_start|>You are an agent.<|im_end|>"
    known.encode_batch([prompt + "one", prompt + "two"])
    known.encode_batch([prompt + "three", prompt])
    assert encoded == ["<|im_start|>", "You are an agent.<|im_end|>", "one", "two", "three"]


def test_threads_share_what_is_kept(monkeypatch):
    monkeypatch.setattr(known_texts, "MOST_CHARACTERS", 200)
    tokenizer = toy.tokenizer()
    known = KnownTexts(tokenizer)
    batches = [[f"<|im_end|>{n % 7} a b<|im_end|>{n % 5}"] * 3 for n in range(60)]
    with ThreadPoolExecutor(8) as pool:
        for found, batch in zip(pool.map(known.encode_batch, batches), batches, strict=True):
            np.testing.assert_array_equal(found[0], tokenizer.encode(batch[0]))
