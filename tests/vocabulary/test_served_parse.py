"""The served parse gives the ids of the exported tokenizer, for any text, vocabulary and tokenizer."""

import os
import random
from itertools import groupby, pairwise
from pathlib import Path

import numpy as np
import pytest
import tokenizers
from hypothesis import example, given
from hypothesis import strategies as st
from tokenizers import decoders, models, pre_tokenizers

from lar.errors import TokenizerError, VocabularyError
from lar.mining.engine_gates.static import token
from lar.tokenizer.pieces import encode_pieces, joints
from lar.tokenizer.tokenizer import Tokenizer
from lar.vocabulary.segments import Segments
from lar.vocabulary.served_parse import ServedParse
from testing import toy
from testing.metaspace import metaspace

# Other tokenizers to try: a folder of Hugging Face folders.
TOKENIZERS = Path(os.environ.get("LAR_TOKENIZERS", "no such folder"))
TEXTS = [
    "The user's name is username; the users are 3.",
    'x = {"name": "find_user", "arguments": {"user_id": "mia_li_3668"}}\n\n',
    "if a..b:\n    return 1234567 // 12\n\n\n\tpass  \n",
    "Ünïcödé, 数字 and — dashes… don't 'quote' I'LL\r\n/testbed/src/a.py",
    "  two  spaces   three ",
]
_PIECES = [*"ab1. \n'/_é—", "the", "user", " name", "  ", "\n\n", "12", "...", "数"]


def segments_of(tokenizer: Tokenizer, texts: list[str]) -> Segments:
    """The texts of two tokens or more as segments."""
    return Segments.of(ids.tolist() for ids in map(tokenizer.encode, texts) if len(ids) >= 2)


def merged(spans: list[tuple[str, bool]]) -> list[tuple[str, bool]]:
    """The texts of alternating speakers, none empty."""
    groups = groupby([span for span in spans if span[0]], lambda span: span[1])
    return [("".join(text for text, _ in group), agent) for agent, group in groups]


def by_definition(tokenizer: Tokenizer, segments, texts: list[str]) -> list[int]:
    """The ids of each text by a tokenizer with the segments' texts as added tokens, in our ids."""
    latents = [tokenizer.decode(segment) for segment in segments]
    backend = tokenizer.backend_with(latents)
    ours: dict[int, int] = {}
    for index, text in reversed(list(enumerate(latents))):
        ours[backend.token_to_id(text)] = tokenizer.base_size + index
    behind = [tokenizer.separator + text for text in texts]
    encoded = [encoding.ids[1:] for encoding in backend.encode_batch(behind, add_special_tokens=False)]
    return [ours.get(unit, unit) for ids in encoded for unit in ids]


def check(tokenizer: Tokenizer, latents: list[str], conversations: list[list[tuple[str, bool]]]) -> None:
    """Parse conversations, spans of one speaker each, and compare units, starts and begins."""
    known = set(tokenizer.backend.get_vocab())
    segments = segments_of(tokenizer, [text for text in latents if text not in known])
    spans = [merged(conversation) for conversation in conversations]
    ids, offsets = encode_pieces(tokenizer, [text for spoken in spans for text, _ in spoken])
    action = np.repeat(
        np.array([agent for spoken in spans for _, agent in spoken], dtype=bool), np.diff(offsets)
    )
    bounds = offsets[np.cumsum([0, *map(len, spans)])]
    parse = ServedParse(tokenizer, segments)
    found = parse.parse(ids, action, bounds)
    expected = by_definition(tokenizer, segments, [text for spoken in spans for text, _ in spoken])
    assert found.units.tolist() == expected
    starts, begins = places(tokenizer, segments, ids, expected)
    assert (found.starts.tolist(), found.begins.tolist()) == (starts, begins)
    for one, other in zip(found, parse.parse(ids, action, bounds), strict=True):
        assert (one == other).all()  # with all texts cached


def places(tokenizer: Tokenizer, segments, ids, units) -> tuple[list[int], list[bool]]:
    """The token in which each unit's first byte lies, and whether it is the token's first, by definition."""
    _, offsets = tokenizer.token_bytes()
    lengths = np.diff(offsets).astype(int)
    ends = np.cumsum(lengths[ids])
    of_latents = [int(lengths[segment].sum()) for segment in segments]
    sizes = [lengths[u] if u < tokenizer.base_size else of_latents[u - tokenizer.base_size] for u in units]
    at = np.cumsum([0, *sizes])[:-1].astype(int)
    starts = np.searchsorted(ends, at, side="right")
    return starts.tolist(), [bool(start in (0, *ends)) for start in at.tolist()]


TOY = toy.tokenizer()
SEPARATING = st.lists(st.sampled_from([*_PIECES, TOY.separator]), max_size=6).map("".join)
some_text = st.lists(st.sampled_from(_PIECES), max_size=12).map("".join)
some_spans = st.lists(st.tuples(some_text, st.booleans()), max_size=4)


@given(
    latents=st.lists(some_text.filter(lambda text: len(text) > 1), max_size=8, unique=True),
    conversations=st.lists(some_spans, max_size=3),
)
def test_units_are_those_of_the_exported_tokenizer(latents, conversations):
    check(TOY, latents, conversations)


@given(st.lists(SEPARATING, max_size=4))
def test_each_piece_is_encoded_as_behind_an_added_token(texts):
    """Also one that holds the token by which pieces are separated."""
    ids, offsets = encode_pieces(TOY, texts)
    found = [ids[start:end].tolist() for start, end in pairwise(offsets.tolist())]
    assert found == [TOY.encode(TOY.separator + text)[1:].tolist() for text in texts]


def _with_late_tokens() -> Tokenizer:
    """Runs of spaces and tabs as GPT-NeoX has them, and two tokens that are found after latents, too."""
    backend = tokenizers.Tokenizer.from_str(TOY.backend.to_str())
    runs = [*(" " * number for number in (4, 3, 2)), "\t\t", "<late>"]
    backend.add_tokens([tokenizers.AddedToken(run, normalized=True, special=False) for run in runs])
    backend.add_tokens([tokenizers.AddedToken("</s>", normalized=True, special=True)])
    return Tokenizer(backend)


LATE = _with_late_tokens()
late_text = st.lists(
    st.sampled_from([*"ab1.\n>sl/", " ", "  ", "    ", "\t", "\t\t", "<late>", "</s>", "the"]), max_size=12
).map("".join)


@given(
    latents=st.lists(late_text.filter(lambda text: len(text) > 1), max_size=8, unique=True),
    conversations=st.lists(st.lists(st.tuples(late_text, st.booleans()), max_size=4), max_size=3),
)
@example(latents=[" a1"], conversations=[[("  a1", True), ("    a1", True)]])
@example(latents=["> a1", "lat"], conversations=[[("<late> a1", True), ("</s>> a1", True)]])
@example(latents=["    a1"], conversations=[[("     a1   a1", True)]])
def test_added_tokens_that_engines_find_after_latents(latents, conversations):
    latents = [text for text, free in zip(latents, token(latents, LATE), strict=True) if free]
    check(LATE, latents, conversations)


def test_runs_of_spaces_do_not_keep_latents_out():
    texts = [" the user", "  the user", "    return", "late> x", "lat", "x <", "</s> x", "s> x", ">>"]
    expected = [True, True, True, False, False, False, False, False, False]
    assert token(texts, LATE).tolist() == expected
    names = [LATE.decode([index]) for index in LATE.barriers]
    assert names == ["<|im_start|>", "<|im_end|>", "<late>", "</s>"]


@pytest.mark.parametrize("seed", range(3))
def test_for_real_tokenizers_too(real_tokenizer, seed):
    """Latents are pieces of the texts, cut where they may be, so that many end inside tokens."""
    chance = random.Random(seed)
    pieces = [text[i : i + chance.randint(2, 9)] for text in TEXTS for i in range(0, len(text), 3)]
    latents = sorted(set(chance.sample(pieces, 25)))
    # Added tokens come first: Gemma has some for lines and tabs.
    latents = [text for text, free in zip(latents, token(latents, real_tokenizer), strict=True) if free]
    conversations = [[(text, chance.random() < 0.5) for text in chance.sample(TEXTS, 4)] for _ in range(20)]
    check(real_tokenizer, latents, conversations)


def test_every_real_tokenizer_has_joints_at_spaces(real_tokenizer):
    """Without them the parse is exact too, but slow. At newlines GPT-2's pattern has none."""
    found = joints(real_tokenizer)
    assert found.space
    assert found.punctuation


def test_a_tokenizer_of_several_words_has_no_joint_at_a_space():
    letters = [*sorted(pre_tokenizers.ByteLevel.alphabet()), "aĠ", "aĠb"]
    vocab = {token: index for index, token in enumerate(letters)}
    backend = tokenizers.Tokenizer(models.BPE(vocab=vocab, merges=[("a", "Ġ"), ("aĠ", "b")]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens(["<s>"])
    assert not joints(Tokenizer(backend)).space


def test_a_tokenizer_that_changes_divided_text_is_refused():
    with pytest.raises(TokenizerError, match="would be changed by decoding"):
        ServedParse(Tokenizer(metaspace()), Segments.of([]))


def test_ids_of_no_text_are_refused():
    """The first byte of a character, separated by a latent."""
    tokenizer = Tokenizer.of(TOY)
    first_byte = int(tokenizer.encode("é")[0])
    parse = ServedParse(tokenizer, segments_of(tokenizer, ["ab1"]))
    ids = np.concatenate([tokenizer.encode("ab1"), [first_byte]]).astype(np.uint32)
    with pytest.raises(VocabularyError, match="not those of its bytes"):
        parse.parse(ids, np.ones(len(ids), bool), np.array([0, len(ids)]))


@pytest.fixture(scope="module", params=["qwen3", *sorted(path.name for path in TOKENIZERS.glob("*"))])
def real_tokenizer(request, shared) -> Tokenizer:
    own = TOKENIZERS / request.param
    return Tokenizer.load(own if own.is_dir() else shared / "tokenizers" / request.param)
