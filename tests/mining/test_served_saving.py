"""What latents save in the text that engines read, against the definition."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lar.corpus import Corpus, Shard
from lar.errors import OptionError
from lar.mining import turn_borders
from lar.mining.mine import mine
from lar.mining.one_machine import OneMachine
from lar.mining.served_saving import Audit, savings
from lar.mining.turn_borders import TurnBorders, borders_of, crossed_in
from lar.vocabulary.segments import Segments
from lar.vocabulary.served_parse import ServedParse
from testing import toy

TOKENIZER = toy.tokenizer()
_PIECES = [*"ab1. \n", "the", "user", " name", "It is", " warm", "celsius"]
some_text = st.lists(st.sampled_from(_PIECES), min_size=1, max_size=8).map("".join)
some_conversations = st.lists(st.lists(some_text, min_size=1, max_size=3), min_size=1, max_size=3)
some_latents = st.lists(some_text.filter(lambda text: len(text) > 1), max_size=8, unique=True)


def shard_of(conversations: list[list[str]]) -> Shard:
    """A shard in memory; the spans of each conversation alternate between user and agent."""
    encoded = [[TOKENIZER.encode(text) for text in spans] for spans in conversations]
    tokens = np.concatenate([ids for spans in encoded for ids in spans])
    action = [bool(i % 2) for spans in encoded for i, ids in enumerate(spans) for _ in ids]
    offsets = np.cumsum([0, *(sum(map(len, spans)) for spans in encoded)])
    names = [str(index) for index in range(len(encoded))]
    return Shard(Path("memory"), "", tokens, offsets, np.array(action), names, names, [None] * len(names))


def segments_of(texts: list[str]) -> Segments:
    return Segments.of(ids.tolist() for ids in map(TOKENIZER.encode, texts) if len(ids) >= 2)


def found_in(text: str, latents: list[str]) -> list[tuple[int, int]]:
    """The begin and the index of each latent found in a text, leftmost-longest."""
    found, at = [], 0
    while at < len(text):
        fitting = [index for index, latent in enumerate(latents) if text.startswith(latent, at)]
        best = max(fitting, key=lambda index: len(latents[index]), default=None)
        if best is not None:
            found.append((at, best))
        at += 1 if best is None else len(latents[best])
    return found


@given(some_latents, some_conversations)
def test_savings_add_up_and_uses_are_those_of_the_text(texts, conversations):
    segments, shard = segments_of(texts), shard_of(conversations)
    parsed = ServedParse(TOKENIZER, segments).parse(shard.tokens, shard.action, shard.offsets)
    found = savings(parsed, shard.action.astype(np.int64), TOKENIZER.base_size, len(segments))
    latents = [TOKENIZER.decode(segment) for segment in segments]
    spoken = [text for spans in conversations for text in spans[1::2]]
    expected = [index for text in spoken for _, index in found_in(text, latents)]
    assert found.uses.tolist() == np.bincount(expected, minlength=len(segments)).tolist()
    assert found.saved.sum() == shard.action.sum() - shard.action[parsed.starts].sum()


@given(some_latents, some_conversations)
def test_a_text_crosses_where_it_occurs_across_a_border(texts, conversations):
    expected = []
    for text in texts:
        joined = [("".join(spans), np.cumsum([len(span) for span in spans])[:-1]) for spans in conversations]
        places = [
            (border, start)
            for whole, borders in joined
            for border in borders.tolist()
            for start in range(max(0, border - len(text) + 1), border)
            if whole.startswith(text, start)
        ]
        expected.append(bool(places))
    borders = TurnBorders(borders_of(TOKENIZER, shard_of(conversations)))
    assert borders.crossed_by(texts).tolist() == expected


def test_an_added_token_ends_a_text_and_no_character_is_cut(corpus):
    shard = next(corpus.shards())
    borders = borders_of(corpus.tokenizer, shard)
    assert {before for before, _ in borders} == {b"assistant\n"}  # after <|im_start|>
    assert b"I will look up" in {after[:14] for _, after in borders}
    crossed = TurnBorders(borders).crossed_by(
        ["\nI will", "\nI won", "I will", "t\nI will look up the weather"]
    )
    assert crossed.tolist() == [True, False, False, True]


@pytest.mark.parametrize("held", [1, 20, 10**6])
def test_borders_are_read_a_few_at_a_time(tokenizer, tmp_path, monkeypatch, held):
    sharded = Corpus.build(toy.trajectories(30), tokenizer, tmp_path / "corpus", shard_tokens=500)
    borders = [borders_of(tokenizer, shard) for shard in sharded.shards()]
    assert len(borders) > 3
    texts = ["\nI will", "\nI won", "I will", *(f"\n{after[:9].decode()}" for b in borders for _, after in b)]
    monkeypatch.setattr(turn_borders, "_HELD", held)
    expected = TurnBorders(set().union(*borders)).crossed_by(texts)
    np.testing.assert_array_equal(crossed_in(sharded, texts), expected)
    assert 0 < expected.sum() < len(texts)


def test_shards_are_counted_apart(corpus, tokenizer, tmp_path):
    sharded = Corpus.build(toy.trajectories(60), tokenizer, tmp_path / "corpus", shard_tokens=500)
    assert len(sharded.manifest.parts) > 3
    segments = mine(corpus, size=30, gates="none").segments
    for first in (segments, Segments.of([])):  # the second time with cached texts
        audits = [Audit(c, OneMachine()) for c in (corpus, sharded)]
        whole, parts = ([audit.count(first), audit.count(segments)][1] for audit in audits)
        np.testing.assert_array_equal(whole.uses, parts.uses)
        np.testing.assert_array_equal(whole.saved, parts.saved)


def test_more_latents_are_kept_where_less_must_be_saved(corpus):
    dropped = [
        mine(corpus, size=60, min_kept=share).mining["gates"][-1]["candidates_dropped"] for share in (0, 1)
    ]
    assert dropped[0] < dropped[1]
    for wrong in (-0.1, 1.1):
        with pytest.raises(OptionError, match="min_kept"):
            mine(corpus, min_kept=wrong)
