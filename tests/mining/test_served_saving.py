"""What latents save in the text that engines read, against the definition."""

import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from lar import _core
from lar.corpus import Corpus, Shard
from lar.errors import OptionError
from lar.mining import served_saving
from lar.mining.mine import mine
from lar.mining.one_machine import OneMachine
from lar.mining.served_saving import Audit, savings
from lar.mining.turn_borders import crossed_in, crossed_in_shard
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
    return Shard(
        Path("memory"),
        "",
        tokens,
        offsets,
        np.array(action),
        names,
        names,
        [None] * len(names),
        np.zeros(len(names), bool),
    )


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
    weight = shard.action.astype(np.int64)
    found = savings(parsed, weight, shard.offsets, TOKENIZER.base_size, len(segments))
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
    encoded = [text.encode() for text in texts]
    assert crossed_in_shard(TOKENIZER, encoded, shard_of(conversations)).tolist() == expected


def test_an_added_token_ends_a_text_and_shards_are_read_apart(corpus, tokenizer, tmp_path):
    sharded = Corpus.build(toy.trajectories(60), tokenizer, tmp_path / "corpus", shard_tokens=500)
    assert len(sharded.manifest.parts) > 3
    texts = ["\nI will", "\nI won", "I will", "t\nI will look up the weather", "\nassistant", ""]
    for read in (corpus, sharded):
        assert crossed_in(read, texts).tolist() == [True, False, False, True, False, False]


def folded(corpus):
    """The agent's distinct runs."""
    return OneMachine().fold(corpus, None)


@given(some_latents, some_conversations)
def test_distinct_runs_tell_as_much_as_conversations(texts, conversations):
    segments, shard = segments_of(texts), shard_of(conversations)
    # A turn of one token is not read: a latent saves nothing in it.
    assume(all(len(TOKENIZER.encode(text)) > 1 for spans in conversations for text in spans[1::2]))
    folder = _core.RunFolder(TOKENIZER.barriers)
    folder.add(shard.tokens, shard.offsets, shard.action, np.zeros(len(shard.tasks), np.uint32))
    audit = Audit(folder.finish(), TOKENIZER)
    parsed = ServedParse(TOKENIZER, segments).parse(shard.tokens, shard.action, shard.offsets)
    whole = savings(parsed, shard.action.astype(np.int64), shard.offsets, TOKENIZER.base_size, len(segments))
    for _ in range(2):  # the second time with cached texts
        found = audit.count(segments)
        assert found.uses.tolist() == whole.uses.tolist()
        assert found.saved.sum() == whole.saved.sum()


def test_what_tokens_save_is_what_the_audit_expects(corpus):
    vocabulary = mine(corpus, size=30, gates="none")
    expected = Audit(folded(corpus), corpus.tokenizer).expected(vocabulary.segments)
    assert expected.tolist() == [latent.saving for latent in vocabulary]


def test_a_large_corpus_is_audited_in_a_sample(corpus, monkeypatch):
    segments = mine(corpus, size=30, gates="none").segments
    whole = Audit(folded(corpus), corpus.tokenizer)
    monkeypatch.setattr(served_saving, "AUDITED_TOKENS", folded(corpus).distinct_tokens // 2)
    sample = Audit(folded(corpus), corpus.tokenizer)
    # The same text by both counts, and as much of it as the whole corpus has.
    for of in (lambda audit: audit.expected(segments), lambda audit: audit.count(segments).saved):
        assert not np.array_equal(of(sample), of(whole))
        assert of(sample).sum() == pytest.approx(of(whole).sum(), rel=0.25)


def test_of_long_runs_pieces_of_whole_characters_are_audited(monkeypatch):
    chance = random.Random(0)
    pieces = ["é", "€é", "the user", " celsius", "1", "a"]
    encoded = [TOKENIZER.encode("".join(chance.choices(pieces, k=40_000))) for _ in range(2)]
    tokens = np.concatenate(encoded)
    folder = _core.RunFolder(TOKENIZER.barriers)
    ends = np.cumsum([0, *map(len, encoded)])
    folder.add(tokens, ends, np.ones(len(tokens), np.bool_), np.arange(2, dtype=np.uint32))
    runs, segments = folder.finish(), segments_of(["the user", " celsius", "€é"])
    whole = Audit(runs, TOKENIZER).count(segments)
    monkeypatch.setattr(served_saving, "AUDITED_TOKENS", 1 << 16)
    found = Audit(runs, TOKENIZER).count(segments)
    assert found.saved.sum() == pytest.approx(whole.saved.sum(), rel=0.5)
    assert found.uses.sum() == pytest.approx(whole.uses.sum(), rel=0.5)

    def texts(sample):
        tokens, offsets, *_ = sample.to_arrays()
        return [TOKENIZER.bytes_of(run) for run in np.split(tokens, offsets[1:-1])]

    content, offsets = TOKENIZER.token_bytes()
    pieces = texts(runs.sample(1 << 16, (content, offsets.astype(np.int64))))
    assert len(pieces) > 30
    assert all(piece.decode() for piece in pieces)
    with pytest.raises(UnicodeDecodeError):
        assert [piece.decode() for piece in texts(runs.sample(1 << 16))]


def test_more_latents_are_kept_where_less_must_be_saved(corpus):
    dropped = [
        mine(corpus, size=60, min_kept=share).mining["gates"][-1]["candidates_dropped"] for share in (0, 1)
    ]
    assert dropped[0] < dropped[1]
    for wrong in (-0.1, 1.1):
        with pytest.raises(OptionError, match="min_kept"):
            mine(corpus, min_kept=wrong)
