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
from lar.generation.generate import as_units, generate
from lar.generation.guard import CanonicalProcessor
from lar.generation.sampling import Sampling
from lar.vocabulary.latent import Latent
from lar.vocabulary.vocabulary import LatentVocabulary
from testing import tiny, toy

# Before 5.18, beam search takes the number of units from the model's configuration, which counts base tokens.
BEAMS_OF_LATENTS = Version(transformers.__version__) >= Version("5.18")

TOKENIZER = toy.tokenizer()
BASE = TOKENIZER.base_size
TOKENS = range(40, 44)  # few, so that segments occur
BARRIER = 44
PROMPTS = [
    f"<|im_start|>user\nHow warm is it in {city}?<|im_end|>\n<|im_start|>assistant\n"
    for city in ("Lima", "Oslo", "Kyoto and in Perth")
]
GUARDED = Sampling(max_units=40, temperature=1.5, seed=3)
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
    token = st.integers(TOKENS.start, TOKENS.stop - 1)
    segments = draw(st.sets(st.lists(token, min_size=2, max_size=5).map(tuple), min_size=1, max_size=12))
    vocabulary = vocabulary_of(sorted(segments))
    ids = [*TOKENS, BARRIER, *(latent.id for latent in vocabulary.latents)]
    return vocabulary, draw(st.lists(st.sampled_from(ids), max_size=20)), ids


def is_canonical(vocabulary, units):
    return np.array_equal(vocabulary.encode(vocabulary.expand(units)), units)


def units_overtaken(vocabulary, units):
    """The number of units that are not the first unit of the parse of the text from their start."""
    rests = [units[place:] for place in range(len(units))]
    return sum(int(vocabulary.encode(vocabulary.expand(rest))[0]) != rest[0] for rest in rests)


@settings(deadline=None, max_examples=40)
@given(vocabularies_and_units())
def test_excluded_units_equal_those_by_brute_force(case):
    vocabulary, units, ids = case
    guard = vocabulary.guard()
    for written in range(len(units)):
        guard.push(units[written])
        before = units[: written + 1]
        overtaken = units_overtaken(vocabulary, before)
        expected = [id_ for id_ in ids if units_overtaken(vocabulary, [*before, id_]) > overtaken]
        assert guard.excluded().tolist() == sorted(expected)
        assert guard.is_canonical == is_canonical(vocabulary, before)
        assert (guard.units, guard.overtaken) == (written + 1, overtaken)


@settings(deadline=None, max_examples=40)
@given(vocabularies_and_units())
def test_a_guard_that_was_reset_is_new(case):
    vocabulary, units, _ = case
    guard = vocabulary.guard()
    for unit in units:
        guard.push(unit)
    guard.reset()
    assert (guard.units, guard.is_canonical, len(guard.excluded())) == (0, True, 0)


@pytest.mark.parametrize("wrong", [-1, 2**31, 2**32 - 1, 2**32, 2**70])
def test_a_unit_outside_the_vocabulary_is_refused_and_changes_nothing(wrong):
    guard = vocabulary_of([(40, 41)]).guard()
    guard.push(40)
    with pytest.raises(VocabularyError):
        guard.push(wrong)
    assert (guard.units, guard.excluded().tolist()) == (1, [41])


@settings(deadline=None, max_examples=40)
@given(vocabularies_and_units())
def test_the_measure_equals_its_definition(case):
    vocabulary, units, _ = case
    measured = canonicity(vocabulary, [units])
    parse = vocabulary.encode(vocabulary.expand(units)).tolist()

    def placed(ids):
        lengths = [len(vocabulary.expand([id_])) for id_ in ids]
        return set(zip(np.cumsum([0, *lengths])[:-1].tolist(), ids, strict=True))

    assert measured.noncanonical_turns == (units != parse)
    assert measured.noncanonical_units == len(placed(units) - placed(parse))
    assert measured.wasted_units == len(units) - len(parse)
    assert canonicity(vocabulary, [parse]) == Canonicity(1, 0, len(parse), 0, len(parse))
    twice = canonicity(vocabulary, [units, np.array(units, dtype=np.uint32)])
    assert twice == measured + measured
    assert (twice.turn_share, twice.unit_share) == (measured.turn_share, measured.unit_share)


def test_training_turns_are_canonical(vocabulary, corpus):
    measured = training_canonicity(corpus, vocabulary)
    assert measured.turns == 2 * corpus.num_trajectories
    assert measured.canonical_units == measured.units < corpus.num_action_tokens
    assert (measured.turn_share, measured.unit_share, measured.wasted_units) == (0, 0, 0)


def test_shares_without_turns_are_zero(vocabulary):
    assert canonicity(vocabulary, []).turn_share == canonicity(vocabulary, [[]]).unit_share == 0
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


def test_a_sampled_generation_is_canonical_with_the_guard_and_not_without(student):
    wild, guarded = generate(student, PROMPTS, WILD), generate(student, PROMPTS, GUARDED)
    assert canonicity(student.vocabulary, [got.units for got in wild]).noncanonical_turns > 0
    assert canonicity(student.vocabulary, [got.units for got in guarded]).noncanonical_units == 0
    assert any((got.units >= student.vocabulary.base_size).any() for got in guarded)


def test_sampling_is_guarded_by_default():
    assert Sampling(temperature=0.1).guarded
    assert not Sampling().guarded
    assert Sampling(canonical=True).guarded
    assert not WILD.guarded


def test_greedy_writes_the_likeliest_unit_that_leaves_the_turn_canonical(student):
    """A padded batch equals decoding by hand, which compares every unit with the parse."""
    guarded = generate(student, PROMPTS, Sampling(max_units=16, canonical=True))
    for prompt, got in zip(PROMPTS, guarded, strict=True):
        history = as_units(student.vocabulary, prompt).tolist()
        written = []
        while len(written) < len(got.units):
            with torch.no_grad():
                logits = student(torch.tensor([history + written])).logits[0, -1]
            likely = logits.argsort(descending=True).tolist()
            written.append(next(id_ for id_ in likely if is_canonical(student.vocabulary, [*written, id_])))
        assert got.units.tolist() == written


def test_each_turn_of_a_conversation_is_a_text_of_its_own(student):
    conversation = Conversation(student, GUARDED)
    turns = []
    for prompt in (PROMPTS[0], "\n<|im_start|>tool\n21<|im_end|>\n<|im_start|>assistant\n"):
        conversation.append(prompt)
        turns.append(conversation.reply().units)
    assert canonicity(student.vocabulary, turns).noncanonical_units == 0


def test_a_model_without_latents_has_nothing_to_guard(corpus):
    plain = Student.plain(tiny.model(corpus.tokenizer.base_size), corpus.tokenizer)
    free, guarded = generate(plain, PROMPTS, WILD), generate(plain, PROMPTS, GUARDED)
    assert [got.units.tolist() for got in free] == [got.units.tolist() for got in guarded]


def test_the_processor_serves_transformers_own_generate(student):
    units = torch.from_numpy(as_units(student.vocabulary, PROMPTS[0]).astype(np.int64))[None]
    out = student.model.generate(
        input_ids=units,
        attention_mask=torch.ones_like(units),
        max_new_tokens=30,
        do_sample=False,
        num_beams=3 if BEAMS_OF_LATENTS else 1,  # beam search reorders rows
        pad_token_id=0,
        logits_processor=LogitsProcessorList([CanonicalProcessor(student.vocabulary)]),
    )
    assert is_canonical(student.vocabulary, out[0, units.shape[1] :].numpy())


def masked(processor, *rows):
    """The masked columns of each row."""
    scores = torch.zeros(len(rows), processor.vocabulary.base_size + len(processor.vocabulary))
    return [row.isneginf().nonzero()[:, 0].tolist() for row in processor(torch.tensor(rows), scores)]


def test_rows_are_followed_and_may_change_places_or_shrink():
    vocabulary = vocabulary_of([(40, 41), (42, 43)])
    processor = CanonicalProcessor(vocabulary)
    assert masked(processor, [40, 40], [0, 42]) == [[], []]  # units of the prompt are not open
    assert masked(processor, [40, 40, 40], [0, 42, 42]) == [[41], [43]]
    assert masked(processor, [0, 42, 42], [40, 40, 40]) == [[43], [41]]
    assert masked(processor, [0, 42, 42, 1], [40, 40, 40, 42]) == [[], [43]]
    assert masked(processor, [0, 42, 42], [40, 40, 40]) == [[43], [41]]
    assert masked(processor, [0, 42], [40, 40]) == [[], []]
    with pytest.raises(VocabularyError):
        masked(processor, [0, 42, 10**6], [40, 40, 1])


def test_a_row_that_would_lose_all_its_units_keeps_them():
    processor = CanonicalProcessor(vocabulary_of([(40, 41)]))
    scores = torch.full((2, BASE + 1), -torch.inf)
    scores[:, 41] = 1.0  # another processor has left only this unit
    scores[1, 42] = 0.0
    processor(torch.tensor([[1], [1]]), scores)
    after = processor(torch.tensor([[1, 40], [1, 40]]), scores)
    assert after[0].equal(scores[0])
    assert after[1].isfinite().nonzero()[:, 0].tolist() == [42]
    assert scores[1, 41] == 1.0  # the input is unchanged


def test_scores_that_lack_a_unit_are_refused():
    processor = CanonicalProcessor(vocabulary_of([(40, 41)]))
    with pytest.raises(OptionError, match=f"scores {BASE} ids, but the vocabulary has {BASE + 1}"):
        processor(torch.tensor([[1]]), torch.zeros(1, BASE))
