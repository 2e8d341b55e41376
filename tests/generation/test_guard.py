"""The sampling guard and its measure: canonical units are never masked, and no others are generated."""

from collections import Counter
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st
from packaging.version import Version
from transformers import LogitsProcessorList

from lar.distillation import DistillOptions, Student
from lar.errors import OptionError, VocabularyError
from lar.evaluation.canonicity import Canonicity, canonicity, training_canonicity
from lar.generation.conversation import Conversation
from lar.generation.generate import as_read, generate
from lar.generation.guard import CanonicalProcessor
from lar.generation.sampling import Sampling
from lar.vocabulary.latent import Latent
from lar.vocabulary.vocabulary import LatentVocabulary
from testing import tiny, toy

# Before 5.18, beam search takes the number of units from the model's configuration, which counts base tokens.
BEAMS_OF_LATENTS = Version(transformers.__version__) >= Version("5.18")

TOKENIZER = toy.tokenizer()
BASE = TOKENIZER.base_size
TEXTS = [TOKENIZER.decode([id_]) for id_ in range(BASE)]
# Tokens of few letters, so that latents occur, begin inside tokens, and lie in them.
TOKENS = [id_ for id_, text in enumerate(TEXTS) if {*text} <= {*"degrs "}]
F, G, M, J = map(TEXTS.index, "FGMJ")  # each the only token that begins with its letter
BARRIER = int(TOKENIZER.barriers[0])
PROMPTS = [
    f"<|im_start|>user\nHow warm is it in {city}?<|im_end|>\n<|im_start|>assistant\n"
    for city in ("Lima", "Oslo", "Kyoto and in Perth")
]
GUARDED = Sampling(max_units=40, temperature=1.5, seed=3, canonical=True)
WILD = replace(GUARDED, canonical=False)


def vocabulary_of(segments):
    latents = tuple(
        Latent(BASE + index, tuple(segment), TOKENIZER.decode(segment), 1, 1, 1)
        for index, segment in enumerate(segments)
    )
    return LatentVocabulary(latents, TOKENIZER)


@st.composite
def vocabularies_and_units(draw):
    """A small vocabulary and units of it in any order, also in orders that no parse gives."""
    segment = st.lists(st.sampled_from(TOKENS), min_size=2, max_size=4).map(tuple)
    segments = draw(
        st.sets(segment.filter(lambda tokens: TOKENIZER.decode(tokens) not in TEXTS), max_size=12)
    )
    vocabulary = vocabulary_of(sorted(segments))
    ids = [*TOKENS, BARRIER, *(latent.id for latent in vocabulary.latents)]
    return vocabulary, draw(st.lists(st.sampled_from(ids), max_size=20)), ids


class Engine:
    """The exported tokenizer of a vocabulary; of latents with the same text it has the first."""

    def __init__(self, vocabulary):
        self.vocabulary = vocabulary
        self.latents = {latent.text: latent.id for latent in reversed(vocabulary.latents)}
        self.backend = TOKENIZER.backend_with([*self.latents])

    def read(self, text):
        """The units of `text`, and the first character of each."""
        encoding = self.backend.encode(text, add_special_tokens=False)
        ids = [
            self.latents.get(self.backend.id_to_token(id_), id_) if id_ >= BASE else id_
            for id_ in encoding.ids
        ]
        return ids, [start for start, _ in encoding.offsets]

    def reads_as_written(self, units):
        """Whether the latents in the text of `units` are the written ones, at their places."""
        texts = [self.vocabulary.text([id_]) if id_ != BARRIER else TEXTS[BARRIER] for id_ in units]
        starts = np.cumsum([0, *map(len, texts)]).tolist()
        written = [(id_, start) for id_, start in zip(units, starts, strict=False) if id_ >= BASE]
        return written == [
            (id_, start) for id_, start in zip(*self.read("".join(texts)), strict=True) if id_ >= BASE
        ]


@settings(deadline=None, max_examples=40)
@given(vocabularies_and_units())
def test_excluded_units_are_those_after_which_an_engine_reads_other_latents(case):
    vocabulary, units, ids = case
    engine, guard, written = Engine(vocabulary), vocabulary.guard(), []
    for unit in units:
        expected = [id_ for id_ in ids if not engine.reads_as_written([*written, id_])]
        excluded = guard.excluded().tolist()
        assert excluded == sorted({*excluded})
        assert sorted({*excluded} & {*ids}) == sorted(expected)
        if unit not in expected:
            guard.push(unit)
            written.append(unit)
    assert (guard.units, guard.overtaken) == (len(written), 0)


@settings(deadline=None, max_examples=40)
@given(vocabularies_and_units())
def test_a_latent_is_overtaken_exactly_if_an_engine_reads_others(case):
    vocabulary, units, _ = case
    guard = vocabulary.guard()
    for unit in units:
        guard.push(unit)
    assert (guard.overtaken == 0) == Engine(vocabulary).reads_as_written(units)


@settings(deadline=None, max_examples=40)
@given(vocabularies_and_units())
def test_a_guard_that_was_reset_is_new(case):
    vocabulary, units, _ = case
    guard, new = vocabulary.guard(), vocabulary.guard()
    for unit in units:
        guard.push(unit)
    guard.reset()
    assert (guard.units, guard.overtaken) == (0, 0)
    assert guard.excluded().tolist() == new.excluded().tolist()


@pytest.mark.parametrize("wrong", [-1, 2**31, 2**32 - 1, 2**32, 2**70])
def test_a_unit_outside_the_vocabulary_is_refused_and_changes_nothing(wrong):
    guard = vocabulary_of([(G, F)]).guard()
    guard.push(G)
    with pytest.raises(VocabularyError):
        guard.push(wrong)
    assert (guard.units, guard.excluded().tolist()) == (1, [F])


@settings(deadline=None, max_examples=40)
@given(vocabularies_and_units())
def test_the_measure_equals_its_definition(case):
    vocabulary, units, _ = case
    engine, measured = Engine(vocabulary), canonicity(vocabulary, [units])
    parse, _ = engine.read(TOKENIZER.decode(vocabulary.expand(units)))

    def placed(ids):
        lengths = [len(TOKENIZER.decode(vocabulary.expand([id_]))) for id_ in ids]
        return set(zip(np.cumsum([0, *lengths])[:-1].tolist(), ids, strict=True))

    assert measured.noncanonical_turns == (units != parse)
    assert measured.misread_turns == (not engine.reads_as_written(units))
    assert measured.noncanonical_units == len(placed(units) - placed(parse))
    assert measured.wasted_units == len(units) - len(parse)
    assert canonicity(vocabulary, [parse]) == Canonicity(1, 0, 0, len(parse), 0, len(parse))
    twice = canonicity(vocabulary, [units, np.array(units, dtype=np.uint32)])
    assert twice == measured + measured
    for share in ("turn_share", "misread_share", "unit_share"):
        assert getattr(twice, share) == getattr(measured, share)


def test_other_base_tokens_and_half_characters_are_not_misread():
    """A latent after them is where it was written, though the text has U+FFFD for half a character."""
    vocabulary = vocabulary_of([TOKENIZER.encode("e, d")])
    half = TOKENIZER.encode("é")[0]
    written = [half, *TOKENIZER.encode("d"), *TOKENIZER.encode("e"), BASE]
    measured = canonicity(vocabulary, [written, [*written[:-1], *TOKENIZER.encode("e, d")]])
    assert (measured.noncanonical_turns, measured.misread_turns) == (2, 1)
    assert (measured.to_dict()["misread_turns"], measured.to_dict()["misread_share"]) == (1, 0.5)


def test_training_turns_are_never_excluded(vocabulary, corpus):
    shard = next(corpus.shards())
    parsed = vocabulary.reparameterize(shard.tokens, shard.action, shard.offsets)
    guard = vocabulary.guard()
    for unit, begins in zip(parsed.units.tolist(), np.diff(parsed.action, prepend=False), strict=True):
        if begins:  # another speaker
            guard.reset()
        assert unit not in guard.excluded()
        guard.push(unit)
    assert (parsed.units >= vocabulary.base_size).any()


def test_training_turns_are_canonical(vocabulary, corpus):
    measured = training_canonicity(corpus, vocabulary)
    assert measured.turns == 2 * corpus.num_trajectories
    assert measured.canonical_units == measured.units < corpus.num_action_tokens
    assert (measured.turn_share, measured.unit_share, measured.wasted_units) == (0, 0, 0)


def test_shares_without_turns_are_zero(vocabulary):
    empty, silent = canonicity(vocabulary, []), canonicity(vocabulary, [[]])
    assert (empty.turn_share, empty.misread_share, silent.unit_share) == (0, 0, 0)
    with pytest.raises(VocabularyError):
        canonicity(vocabulary, [[10**6]])


@pytest.fixture(scope="module")
def student(corpus):
    """A student that predicts the text, but often writes a latent's base tokens instead of the latent."""
    shard = next(corpus.shards())
    pairs = Counter(pairwise(shard.tokens[shard.action].tolist()))
    barriers = corpus.tokenizer.barriers.tolist()
    frequent = [pair for pair, _ in pairs.most_common(80) if not {*pair} & {*barriers}]
    options = DistillOptions(device="cpu", row_start="first")
    student = Student.begin(tiny.teacher(corpus), vocabulary_of(frequent), options).eval()
    with torch.no_grad():
        for rows in student.rows.parameters():
            rows += 0.01 * torch.randn(
                rows.shape
            )  # otherwise a latent is exactly as likely as its first token
    return student


def test_a_sampled_generation_is_read_as_written_with_the_guard_and_not_without(student):
    wild, guarded = generate(student, PROMPTS, WILD), generate(student, PROMPTS, GUARDED)
    assert canonicity(student.vocabulary, [got.units for got in wild]).misread_turns > 0
    assert canonicity(student.vocabulary, [got.units for got in guarded]).misread_turns == 0
    assert any((got.units >= student.vocabulary.base_size).any() for got in guarded)


def test_greedy_writes_the_likeliest_unit_after_which_an_engine_reads_the_latents(student):
    """A padded batch equals decoding by hand, which reads the text after every unit."""
    engine = Engine(student.vocabulary)
    guarded = generate(student, PROMPTS, Sampling(max_units=16, canonical=True))
    for prompt, got in zip(PROMPTS, guarded, strict=True):
        history = as_read(student, prompt).tolist()
        written = []
        while len(written) < len(got.units):
            with torch.no_grad():
                logits = student(torch.tensor([history + written])).logits[0, -1]
            likely = logits.argsort(descending=True).tolist()
            written.append(next(id_ for id_ in likely if engine.reads_as_written([*written, id_])))
        assert got.units.tolist() == written


def test_each_turn_of_a_conversation_is_a_text_of_its_own(student):
    conversation = Conversation(student, GUARDED)
    turns = []
    for prompt in (PROMPTS[0], "\n<|im_start|>tool\n21<|im_end|>\n<|im_start|>assistant\n"):
        conversation.append(prompt)
        turns.append(conversation.reply().units)
    assert canonicity(student.vocabulary, turns).misread_turns == 0


def test_a_model_without_latents_has_nothing_to_guard(corpus):
    plain = Student.plain(tiny.model(corpus.tokenizer.base_size), corpus.tokenizer)
    free, guarded = generate(plain, PROMPTS, WILD), generate(plain, PROMPTS, GUARDED)
    assert [got.units.tolist() for got in free] == [got.units.tolist() for got in guarded]


def test_the_processor_serves_transformers_own_generate(student):
    units = torch.from_numpy(as_read(student, PROMPTS[0]).astype(np.int64))[None]
    out = student.model.generate(
        input_ids=units,
        attention_mask=torch.ones_like(units),
        max_new_tokens=30,
        do_sample=False,
        num_beams=3 if BEAMS_OF_LATENTS else 1,  # beam search reorders rows
        pad_token_id=0,
        logits_processor=LogitsProcessorList([CanonicalProcessor(student.vocabulary)]),
    )
    assert canonicity(student.vocabulary, [out[0, units.shape[1] :].numpy()]).misread_turns == 0


def masked(processor, *rows):
    """The masked columns of each row."""
    scores = torch.zeros(len(rows), processor.vocabulary.base_size + len(processor.vocabulary))
    return [row.isneginf().nonzero()[:, 0].tolist() for row in processor(torch.tensor(rows), scores)]


def test_rows_are_followed_and_may_change_places_or_shrink():
    vocabulary = vocabulary_of([(G, F), (M, J)])
    processor = CanonicalProcessor(vocabulary)
    assert masked(processor, [G, G], [0, M]) == [[], []]  # units of the prompt are not open
    assert masked(processor, [G, G, G], [0, M, M]) == [[F], [J]]
    assert masked(processor, [0, M, M], [G, G, G]) == [[J], [F]]
    assert masked(processor, [0, M, M, 1], [G, G, G, M]) == [[], [J]]
    assert masked(processor, [0, M, M], [G, G, G]) == [[J], [F]]
    assert masked(processor, [0, M], [G, G]) == [[], []]
    with pytest.raises(VocabularyError):
        masked(processor, [0, M, 10**6], [G, G, 1])


def test_a_row_that_would_lose_all_its_units_keeps_them():
    processor = CanonicalProcessor(vocabulary_of([(G, F)]))
    scores = torch.full((2, BASE + 1), -torch.inf)
    scores[:, F] = 1.0  # another processor has left only this unit
    scores[1, M] = 0.0
    processor(torch.tensor([[1], [1]]), scores)
    after = processor(torch.tensor([[1, G], [1, G]]), scores)
    assert after[0].equal(scores[0])
    assert after[1].isfinite().nonzero()[:, 0].tolist() == [M]
    assert scores[1, F] == 1.0  # the input is unchanged


def test_scores_that_lack_a_unit_are_refused():
    processor = CanonicalProcessor(vocabulary_of([(G, F)]))
    with pytest.raises(OptionError, match=f"scores {BASE} ids, but the vocabulary has {BASE + 1}"):
        processor(torch.tensor([[1]]), torch.zeros(1, BASE))
