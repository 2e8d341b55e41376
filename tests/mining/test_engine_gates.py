"""Segments fit for engines: what is mined passes every gate, and an engine's ids are those of the parse."""

import hashlib
from dataclasses import replace
from functools import partial
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import normalizers

from lar import _core
from lar.corpus import Corpus
from lar.errors import OptionError, VocabularyError
from lar.evaluation.reduction import evaluate
from lar.mining.engine_gates.static import (
    CHECK_TEXT,
    STATIC_GATES,
    check_text,
    clashes_at_headers,
    decoding,
    header,
    normal,
    parse_gates,
    texts_of,
    token,
    whole_characters,
)
from lar.mining.engine_gates.tool_call import tool_call
from lar.mining.mine import mine
from lar.mining.one_machine import OneMachine
from lar.mining.options import MiningOptions
from lar.mining.selection import Selector, TextGates
from lar.mining.served_saving import Audit, ServedSaving
from lar.mining.turn_borders import crossed_in
from lar.tokenizer.token_bytes import CONTEXT, decodes_to
from lar.tokenizer.tokenizer import Tokenizer
from lar.trajectories import read_trajectories
from lar.vocabulary.engine_tokenizer import exported_backend
from lar.vocabulary.latent import Latent
from lar.vocabulary.segments import Segments
from lar.vocabulary.vocabulary import LatentVocabulary
from testing import toy
from testing.metaspace import metaspace_first

# After this many audits, failing latents are not replaced, so the next audit finds none.
ROUNDS = 6
SOME = _core.Limits(min_count=2, min_support=2, max_length=128, most=100)


def check_fit(vocabulary, corpus):
    """The vocabulary passes every gate, and an engine has one token for each latent."""
    texts = [latent.text for latent in vocabulary.latents]
    for gate in STATIC_GATES.values():
        assert gate(texts, vocabulary.tokenizer).all()
    found = Audit(OneMachine().fold(corpus, None), corpus.tokenizer).count(vocabulary.segments)
    assert not crossed_in(corpus, texts).any()
    promised = np.array([latent.saving for latent in vocabulary])
    assert (found.saved >= vocabulary.mining["min_kept"] * promised).all()
    backend = exported_backend(vocabulary)
    for index, text in enumerate(texts):
        id_ = vocabulary.tokenizer.base_size + index
        assert backend.encode(text, add_special_tokens=False).ids == [id_]
        assert backend.decode([id_], skip_special_tokens=False) == text


@pytest.mark.parametrize("size", [1, 12, 60])
def test_what_is_mined_is_fit_for_engines(corpus, size):
    vocabulary = mine(corpus, size=size)
    assert vocabulary.size > size / 2
    check_fit(vocabulary, corpus)
    level = evaluate({"toy": corpus}, vocabulary).total.text_level
    assert level.whole.difference <= 0.005
    assert level.action.difference <= 0.005


def test_without_gates_mining_is_a_selection_of_all_candidates(corpus):
    runs = OneMachine().fold(corpus, None)
    candidates = runs.candidates(MiningOptions(size=30).limits)
    selection = runs.select(candidates.filter(whole_characters(candidates, corpus.tokenizer)), 30)
    tokens, offsets, counts, supports, uses = selection.to_arrays()
    vocabulary = mine(corpus, size=30, gates="none")
    assert [list(latent.tokens) for latent in vocabulary.latents] == Segments(tokens, offsets).to_lists()
    found = [(latent.count, latent.support, latent.uses) for latent in vocabulary.latents]
    assert found == list(zip(counts.tolist(), supports.tolist(), uses.tolist(), strict=True))
    assert [gate["name"] for gate in vocabulary.mining["gates"]] == ["characters"]


def test_candidates_that_cut_characters_are_told(tokenizer):
    content, bounds = tokenizer.token_bytes()
    # Two thirds of "€", and "€": its bytes are tokens of the byte-level alphabet.
    ids = {content[a:b].tobytes(): id_ for id_, (a, b) in enumerate(pairwise(bounds.tolist()))}
    euro = [ids[bytes([byte])] for byte in "€".encode()]
    segments = Segments.of(sorted([[first, *euro[:end]] for first in range(4) for end in (2, 3)]))
    ones = np.ones(len(segments))
    candidates = _core.Candidates.from_arrays(
        segments.tokens, segments.offsets, ones.astype(np.uint64), ones.astype(np.uint32)
    )
    assert whole_characters(candidates, tokenizer).tolist() == [len(segment) == 4 for segment in segments]


def test_each_gates_cost_is_told(corpus):
    vocabulary = mine(corpus, size=30)
    gates = vocabulary.mining["gates"]
    assert [gate["name"] for gate in gates] == ["characters", *STATIC_GATES, "border", "served"]
    saved = sum(latent.saving for latent in vocabulary.latents)
    assert gates[-1]["reduction"] == round(saved / corpus.num_action_tokens, 6)
    ungated = mine(corpus, size=30, gates="tool_call").mining["gates"][0]  # the gate that cuts runs first
    assert gates[0] == ungated
    for before, gate in pairwise(gates):
        assert gate["candidates_dropped"] > 0 or gate["reduction"] == before["reduction"]
    assert gates[-1]["audits"] <= ROUNDS + 1


@settings(deadline=None, max_examples=20)
@given(wrong=st.sets(st.integers(0, 399), max_size=300))
def test_whatever_fails_the_audit_no_failing_latent_is_left(corpus, wrong):
    """An audit that fails every segment with one of some tokens."""

    class WrongTokens(Audit):
        def count(self, segments):
            expected = self.expected(segments)
            return ServedSaving(expected, np.where(fails(segments), -1, expected))

    def fails(segments):
        return np.array([bool(wrong & set(segment.tolist())) for segment in segments], bool)

    def none(texts):
        return np.zeros(len(texts), bool)

    runs = OneMachine().fold(corpus, None)
    audit = WrongTokens(runs, corpus.tokenizer)
    selector = Selector(runs, 10, corpus.tokenizer, none, audit, corpus.num_action_tokens)
    selection = selector.select(runs.candidates(SOME), ("characters", "served"))
    segments = Segments(*selection.segments())
    assert not fails(segments).any()
    saved = audit.expected(segments).sum()
    assert selector.costs[-1]["reduction"] == round(int(saved) / corpus.num_action_tokens, 6)


def test_an_audit_that_fails_ends_mining_with_its_exception(corpus):
    runs = OneMachine().fold(corpus, None)
    selection = runs.select(runs.candidates(SOME), 10)
    with pytest.raises(ZeroDivisionError):
        selection.audited(lambda *_: 1 // 0)
    with pytest.raises(OptionError, match="fails has 1 entries where 10 are needed"):
        selection.audited(lambda *_: np.zeros(1, np.bool_))
    with pytest.raises(TypeError):
        selection.audited(lambda *_: "none")
    with pytest.raises(OptionError, match="dropped has 1 entries where 100 are needed"):
        selection.without(np.zeros(1, np.bool_))


def test_of_two_texts_that_clash_at_a_header_the_one_of_less_worth_goes():
    tokenizer = toy.tokenizer()  # its headers end with "assistant\n"
    texts = ["\n\n-", "\n-", "\n\nThe", "= ", "t\nI", "I am"]

    def gone(*worth):
        found = clashes_at_headers(texts, np.array(worth), tokenizer)
        return [text for text, clashes in zip(texts, found.tolist(), strict=True) if clashes]

    assert gone(5, 4, 3, 2, 1, 2) == ["\n-", "t\nI"]
    assert gone(4, 5, 3, 2, 2, 1) == ["\n\n-", "I am"]


def kept(gate, tokenizer, *texts):
    return [text for text, keep in zip(texts, gate(texts, tokenizer).tolist(), strict=True) if keep]


def test_a_text_must_be_as_the_normalizer_leaves_it():
    tokenizer = toy.tokenizer()
    assert kept(normal, tokenizer, "e\u0301") == ["e\u0301"]
    tokenizer.backend.normalizer = normalizers.NFC()
    assert kept(normal, tokenizer, "e\u0301", "é", " a") == ["é", " a"]
    # Such a normalizer only writes spaces in another form.
    tokenizer.backend.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    assert kept(normal, tokenizer, " a b", "a b") == [" a b", "a b"]


def test_a_text_that_is_a_token_is_none_of_ours(tokenizer):
    merged = next(text for text in tokenizer.backend.get_vocab() if text.startswith("Ġ") and len(text) > 3)
    assert kept(token, tokenizer, "x y", " " + merged[1:], merged) == ["x y"]


def test_no_text_swallows_an_added_token(tokenizer):
    swallowing = ["x <", "x <|im", "<|im_end|> x", "a<|im_start|>b"]
    assert kept(token, tokenizer, "x > y", "x <| y", *swallowing) == ["x > y", "x <| y"]
    end = int(tokenizer.encode("<|im_end|>")[0])
    with_latent = tokenizer.backend_with(["x <"])
    assert end not in with_latent.encode("x <|im_end|>", add_special_tokens=False).ids


def test_a_text_must_decode_to_itself(tokenizer):
    # A bug of tokenizers 0.23; after a fix, both may stay.
    assert kept(decoding, tokenizer, "the cafe", "日本", "a é") == ["the cafe", "日本", "a é"]
    backend = tokenizer.backend_with(["café"])
    is_mended = backend.decode([backend.token_to_id("café")]) == "café"
    assert kept(decoding, tokenizer, "café") == ["café"] * is_mended


def whole_decoding(texts, tokenizer):
    """The gate `decoding` by a clone of the whole tokenizer."""
    backend = tokenizer.backend_with(texts)
    ids = [[] if (index := backend.token_to_id(text)) is None else [index] for text in texts]
    context = tokenizer.encode(CONTEXT).tolist()
    before = tokenizer.decode(context)
    within = [backend.decode([*context, *one], skip_special_tokens=False) for one in ids]
    alone = [backend.decode(one, skip_special_tokens=False) for one in ids]
    return [
        decodes_to(text, inner.removeprefix(before), outer)
        for text, inner, outer in zip(texts, within, alone, strict=True)
    ]


SPEAKERS = [toy.tokenizer(), *(Tokenizer(metaspace_first(decoder)) for decoder in ("strip", "metaspace"))]
PIECES = [*"aé Ġ▁|\n日", "<0x41>", "<|im_end|>", "</s>", "the", "Ġthe"]


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(SPEAKERS), st.lists(st.lists(st.sampled_from(PIECES)).map("".join), max_size=200))
def test_a_text_decodes_as_by_a_clone_of_the_whole_tokenizer(speaker, texts):
    assert decoding(texts, speaker).tolist() == whole_decoding(texts, speaker)


@pytest.mark.parametrize("decoder", ["strip", "metaspace"])
def test_a_space_that_a_decoder_drops_at_the_beginning_of_a_text_is_no_fault(decoder):
    speaking = Tokenizer(metaspace_first(decoder))
    texts = [" a b", "a b", "  b"]
    assert kept(decoding, speaking, *texts) == texts
    segments = Segments.of([speaking.encode(f"</s>{text}")[1:].tolist() for text in texts])
    assert texts_of(segments, speaking) == texts


def test_a_text_that_byte_fallback_decodes_as_a_byte_is_dropped():
    assert kept(decoding, Tokenizer(metaspace_first()), "<0x61>", "a<0x61>") == ["a<0x61>"]


def test_latents_with_a_space_before_them_are_mined_and_read_where_a_decoder_drops_it():
    corpus = Corpus.build(toy.trajectories(60), toy.metaspace_tokenizer())
    vocabulary = mine(corpus, size=12)
    assert any(latent.text.startswith(" ") for latent in vocabulary)
    backend = exported_backend(vocabulary)
    for row in corpus:
        text = vocabulary.tokenizer.decode(row.tokens)
        units = vocabulary.encode_text(text).tolist()
        assert backend.encode(text, add_special_tokens=False).ids == units
        assert backend.decode(units, skip_special_tokens=False) == text


def test_no_text_swallows_the_header_before_itself(tokenizer):
    # "assistant\n" is the header: where a turn begins with "\n\n", the text is found a newline too early.
    texts = ["\n", "\n\n", "t\n", "nt", "I\n", "\nI", "assistant\nI"]
    assert kept(header, tokenizer, *texts) == ["I\n", "\nI", "assistant\nI"]
    no_template = Tokenizer(tokenizer.backend)
    assert kept(header, no_template, "\n") == ["\n"]


def test_no_text_names_the_tool_that_it_calls(tokenizer):
    opener = '<tool_call>\n{"name": "'
    fit = [
        "<tool_call>",
        "Done.\n<tool_call>\n",
        opener,
        opener[5:],
        "call>\n",
        '{"name": "find',
        "</tool_call>",
    ]
    unfit = [f"{opener}find", f"Done.\n{opener}f", 'call>\n{"name": "f', '>\n{"name": "f', "<tool_call>x"]
    assert kept(tool_call, tokenizer, *fit, *unfit) == fit
    assert kept(tool_call, Tokenizer(tokenizer.backend), *unfit) == unfit  # no template, no calls


def test_what_stands_on_either_side_of_an_opener_is_mined(corpus):
    texts = [latent.text for latent in mine(corpus, size=30, gates="tool_call").latents]
    assert any(text.endswith('<tool_call>\n{"name": "') for text in texts)
    assert any(text.startswith('get_weather", "arguments": {') for text in texts)
    assert tool_call(texts, corpus.tokenizer).all()
    crossing = [latent.text for latent in mine(corpus, size=30, gates="none").latents]
    assert not tool_call(crossing, corpus.tokenizer).all()


@pytest.mark.parametrize(
    ("opener", "fit", "unfit"),
    [
        ("<function=", ["<function=", "find"], ["<function=find", "tion=find"]),
        ('{"name": "', ['{"name": "find'], []),  # no marker: no engine waits for it
    ],
)
def test_the_marker_is_the_templates_own(opener, fit, unfit):
    speaking = toy.tokenizer(toy.CHATML.replace('<tool_call>\n{"name": "', opener))
    assert kept(tool_call, speaking, *fit, *unfit) == fit


def test_no_text_is_in_the_converters_check_text(tokenizer):
    # The SHA-256 of CHK_TXT in llama.cpp's convert_hf_to_gguf_update.py.
    digest = "a36179c1e2b1cfcfbfad1dc779addad2ffc778201e4cf0d538bddeafa2c526da"
    assert hashlib.sha256(CHECK_TEXT.encode()).hexdigest() == digest
    assert kept(check_text, tokenizer, "13", " I'll", "113", " I'd") == ["113", " I'd"]


@given(
    st.lists(
        st.lists(st.sampled_from(["a", "\n\n", "x <", "é", "café", "user", "<tool_call>", "Oslo", "get_"]))
    ),
    st.sets(st.sampled_from(sorted(STATIC_GATES))),
)
@settings(max_examples=30)
def test_gates_that_are_asked_once_answer_as_if_asked_each_time(tokenizer, parts, names):
    known = TextGates((*names, "served"))
    for texts in parts:
        expected = np.ones(len(texts), dtype=np.bool_)
        for name in names:
            expected &= STATIC_GATES[name](texts, tokenizer)
        assert known.of(texts, tokenizer).tolist() == expected.tolist()


def test_gates_by_name():
    assert parse_gates("engines") == ("characters", *STATIC_GATES, "border", "served")
    assert parse_gates("none") == ("characters",)
    assert parse_gates("served, token") == ("characters", "token", "served")
    for wrong in ("", "tokens", "token,", "engines,token"):
        with pytest.raises(OptionError, match="gates must be engines, none or some of"):
            parse_gates(wrong)


def test_a_vocabulary_that_no_engine_can_have_is_refused(tokenizer):
    a, b = (int(tokenizer.encode(letter)[0]) for letter in "xq")
    latent = Latent(tokenizer.base_size, (a, b), "xq", 1, 1, 1)
    make = partial(LatentVocabulary, tokenizer=tokenizer)
    assert exported_backend(make((latent,))).token_to_id("xq") == tokenizer.base_size
    for text in ("<|im_end|>", ""):
        with pytest.raises(VocabularyError, match=r"latent 0 .* mine with the engine gates"):
            exported_backend(make((replace(latent, text=text),)))


@pytest.mark.slow
def test_on_real_logs_an_engines_ids_are_those_of_the_parse(shared, tmp_path):
    logs = list(read_trajectories(shared / "data" / "tau_bench.jsonl.gz"))[::2]
    corpus = Corpus.build(logs, shared / "tokenizers" / "qwen3", tmp_path / "corpus")
    train, held_out = corpus.split(0.3)
    vocabulary = mine(train, size=256)
    result = evaluate({"tau_bench": held_out}, vocabulary)
    assert result.lossless
    assert result.total.text_level.whole.difference == 0
    check_fit(vocabulary, train)
