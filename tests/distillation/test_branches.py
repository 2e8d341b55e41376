"""Students that write latents and read base tokens: their rows, their training and their conversations."""

import json
from dataclasses import replace

import numpy as np
import pytest
import tokenizers
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from lar import distill, export
from lar.cli.arms import reads_base_tokens
from lar.corpus.windows import Window
from lar.distillation import DistillOptions, Student
from lar.distillation.data.branches import branched, turn_numbers
from lar.distillation.data.examples import Examples
from lar.distillation.data.packing import pack
from lar.distillation.training.bits_per_byte import bits_per_byte
from lar.errors import OptionError, TrainingError, VocabularyError
from lar.generation import Conversation, generate
from lar.generation.batch import ConversationBatch
from lar.models.hidden_states import hidden_states, use_streams
from lar.tokenizer.tokenizer import Tokenizer
from lar.vocabulary.latent import Latent
from lar.vocabulary.vocabulary import LatentVocabulary
from testing import tiny
from testing.few_steps import FEW

OPTIONS = DistillOptions(device="cpu", decode_only=True)


@pytest.fixture(scope="module")
def student(corpus, vocabulary):
    student = Student.begin(tiny.teacher(corpus), vocabulary, OPTIONS).eval()
    student.record = {"options": OPTIONS.to_dict()}
    with torch.no_grad():
        for name, value in student.named_parameters():
            if "lora_B" in name:
                value.normal_(std=0.02)
        student.rows.output.normal_(std=0.5)  # so that it writes latents, too
    return student


def read_before(examples: Examples, index: int) -> list[NDArray[np.int64]]:
    """What an engine has read before it writes each supervised unit: base tokens, then the turn's units.

    A window may lack the beginning of a turn, and the border of its two parts ends one.
    """
    shard, row, window = examples._plan[index]
    begin, end = shard.offsets[row : row + 2].tolist()
    action, example = shard.action[begin:end][window.positions()], examples[index]
    seam = window.head if window.begin > window.head else 0
    found = []
    for unit in example.supervised.tolist():
        start = int(example.starts[unit])
        while start and start != seam and action[start - 1]:
            start -= 1
        first = int(np.searchsorted(example.starts, start))
        found.append(np.concatenate([example.tokens[:start], example.units[first:unit]]))
    return found


@given(
    st.integers(24, 600),
    st.lists(st.integers(0, 30), min_size=1, max_size=4, unique=True),
    st.sampled_from([0.0, 0.5]),
)
@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@torch.no_grad()
def test_a_row_of_branches_is_read_as_each_turn_behind_its_history(
    student, corpus, max_length, chosen, dropout
):
    examples = Examples(corpus, student.vocabulary, max_length, None, dropout, decode_only=True)
    places = [index % len(examples) for index in chosen]
    group = [examples[place] for place in places]
    batch = pack(group)
    row = hidden_states(student.base, batch["units"], batch["unit_positions"], batch["streams"])[0]
    found = row[batch["student_at"]]
    histories = [history for place in places for history in read_before(examples, place)]
    assert len(histories) == len(found) == len(batch["labels"])
    for at in range(0, len(found), max(1, len(found) // 20)):
        alone = hidden_states(student.base, torch.from_numpy(histories[at])[None])[0, -1]
        torch.testing.assert_close(found[at], alone, atol=2e-5, rtol=1e-4)
    units = [example.units[example.supervised] for example in group]
    assert batch["labels"].tolist() == np.concatenate(units).tolist()
    assert batch["tokens"].tolist() == [np.concatenate([example.tokens for example in group]).tolist()]


def test_a_branch_begins_where_a_turn_leaves_its_tokens():
    # A question of 3 tokens, and turns of the agent: 13 and a latent of two tokens, 16; 17; a latent.
    tokens = np.array([10, 11, 12, 13, 14, 15, 16, 20, 17, 21, 18, 19])
    units = np.array([10, 11, 12, 13, 100, 16, 20, 17, 21, 101])
    starts = np.array([0, 1, 2, 3, 4, 6, 7, 8, 9, 10])
    turns = np.array([0, 0, 0, 1, 1, 1, 1, 0, 2, 0, 3, 3])
    row = branched(units, tokens, starts, turns, np.array([3, 4, 5, 7, 9]))
    assert row.ids.tolist() == [*tokens, 100]  # what predicts 16; the other units are predicted by tokens
    assert row.positions.tolist() == [*range(12), 4]
    assert row.branch.tolist() == [0] * 12 + [1]
    assert row.sees.tolist() == [0] * 12 + [4]
    assert row.predicts.tolist() == [2, 3, 12, 7, 9]


def test_the_branch_of_a_turn_begins_with_the_turn():
    # The window supervises from within the turn, and from within a token: latent 100 ends in the midst of 12.
    tokens, units = np.array([10, 11, 12, 13]), np.array([10, 100, 101, 13])
    starts, turns = np.array([0, 1, 2, 3]), np.array([0, 1, 1, 1])
    row = branched(units, tokens, starts, turns, np.array([2, 3]))
    assert row.ids.tolist() == [*tokens, 100, 101]
    assert row.positions.tolist() == [0, 1, 2, 3, 1, 2]
    assert row.sees.tolist() == [0, 0, 0, 0, 1, 1]
    assert row.predicts.tolist() == [4, 5]


def test_turns_are_numbered_in_a_window_and_end_with_its_head():
    action = np.array([0, 1, 1, 0, 1, 1, 1, 1], bool)
    apart = Window(head=3, begin=5, new=6, end=8, next_begin=6, next_end=12)
    assert turn_numbers(action, apart).tolist() == [0, 1, 1, 2, 2, 2]
    whole = Window(head=0, begin=0, new=1, end=8, next_begin=6, next_end=12)
    assert turn_numbers(action, whole).tolist() == [0, 1, 1, 0, 2, 2, 2, 2]
    assert turn_numbers(~action, whole).tolist() == [1, 0, 0, 2, 0, 0, 0, 0]
    touching = Window(head=2, begin=2, new=4, end=7, next_begin=5, next_end=12)
    assert turn_numbers(action, touching).tolist() == [0, 1, 1, 0, 2, 2, 2]


def test_bits_per_byte_are_those_of_each_unit_behind_its_history(student, corpus):
    examples = Examples(corpus, student.vocabulary, 256, decode_only=True)
    bits = 0.0
    with torch.no_grad():
        for place, example in enumerate(examples):
            labels = example.units[example.supervised].tolist()
            for history, label in zip(read_before(examples, place), labels, strict=True):
                logits = student(torch.from_numpy(history)[None]).logits[0, -1].double()
                size = student.vocabulary.base_size + len(student.vocabulary)
                bits -= float(logits[:size].log_softmax(-1)[label]) / np.log(2)
    found = bits_per_byte(corpus, student, max_length=256, allow_seen=True)
    assert found.bits == pytest.approx(bits, rel=1e-4)


def test_a_conversation_is_read_in_base_tokens(student):
    prompts = [
        "<|user|>What is the weather?<|agent|>",
        "<|user|>And in Paris?<|agent|>",
        "<|user|>So?<|agent|>",
    ]
    talk = Conversation(student, max_units=20)
    batch = ConversationBatch(student, 2, max_units=20)
    history: list[int] = []
    wrote_latents = False
    for prompt in prompts:
        talk.append(prompt)
        history += student.vocabulary.tokenizer.encode(prompt).tolist()
        (expected,) = generate(student, [np.array(history, np.uint32)], max_units=20)
        alone, (one, other) = talk.reply(), batch.reply([prompt, prompt])
        for found in (alone, one, other):
            assert found.units.tolist() == expected.units.tolist()
        assert talk.base_ids.tolist() == [*history, *expected.base_ids.tolist()]
        history += expected.base_ids.tolist()
        wrote_latents = wrote_latents or len(expected.units) < len(expected.base_ids)
    assert wrote_latents


def test_a_turn_that_a_limit_ended_goes_on_in_units(student):
    prompt = "<|user|>What is the weather?<|agent|>"
    whole, parts = Conversation(student, max_units=12), Conversation(student, max_units=4)
    whole.append(prompt)
    parts.append(prompt)
    expected = whole.reply().units.tolist()
    assert [unit for _ in range(3) for unit in parts.reply().units.tolist()] == expected
    whole.append(prompt)
    parts.append(prompt)
    assert parts.units.tolist() == whole.units.tolist()
    assert (parts.units < student.vocabulary.base_size).all()
    assert parts.reply(max_units=12).units.tolist() == whole.reply().units.tolist()


def test_training_keeps_what_the_student_reads(corpus, vocabulary, teacher_folder, tmp_path):
    options = DistillOptions(**FEW, max_steps=2, decode_only=True)
    trained = distill(corpus, teacher_folder, vocabulary, options, tmp_path / "student")
    assert trained.decode_only
    assert Student.load(tmp_path / "student", teacher_folder).decode_only
    made = export(tmp_path / "student", tmp_path / "export", model=teacher_folder)
    assert made.record["decode_only"]
    control = distill(corpus, teacher_folder, None, options, tmp_path / "control", control=True)
    assert not control.decode_only
    assert [reads_base_tokens(tmp_path / name) for name in ("student", "control")] == [True, False]


def test_a_student_that_reads_latents_is_warned_of_as_decode_only(
    corpus, vocabulary, teacher_folder, tmp_path, caplog
):
    distill(corpus, teacher_folder, vocabulary, DistillOptions(**FEW, max_steps=1), tmp_path / "student")
    export(tmp_path / "student", tmp_path / "export", model=teacher_folder, decode_only=True)
    assert "trained with latents in its prompts" in caplog.text
    record = json.loads((tmp_path / "export" / "lar_export.json").read_text())
    assert record["decode_only"]


def test_latents_that_a_tokenizer_would_encode_are_refused_before_the_training(corpus):
    """A tokenizer of Llama 3's kind encodes each word that its vocabulary has, whatever the merges."""
    content = json.loads(corpus.tokenizer.backend.to_str())
    content["model"]["ignore_merges"] = True
    tokenizer = Tokenizer(tokenizers.Tokenizer.from_str(json.dumps(content)))
    texts = "zebra", " warm Lima"  # a word, and two
    ids = [tuple(tokenizer.encode(text).tolist()) for text in texts]
    assert min(map(len, ids)) > 1
    first = tokenizer.base_size
    latents = [Latent(first + n, ids[n], text, 1, 1, 1) for n, text in enumerate(texts)]
    vocabulary = LatentVocabulary(tuple(latents), tokenizer)
    with pytest.raises(VocabularyError, match=r"1 of 2 latents are whole words, such as latent 0 .'zebra'"):
        distill(corpus, "never-read/", vocabulary, OPTIONS)
    with pytest.raises(TrainingError, match="never-read"):  # latents that are read, too, are added tokens
        distill(corpus, "never-read/", vocabulary, DistillOptions(device="cpu"))
    other = LatentVocabulary((replace(latents[1], id=first),), tokenizer)
    with pytest.raises(TrainingError, match="never-read"):
        distill(corpus, "never-read/", other, OPTIONS)


@pytest.mark.parametrize("family", ["gemma3_text", "mamba2"])
def test_models_that_cannot_read_branches_are_refused(family):
    with pytest.raises(OptionError, match=r"decode_only: .* does not read branches"):
        use_streams(tiny.of_family(family, 300))


@pytest.mark.parametrize("more", [{"hidden_weight": 0.1}, {"row_start": "hidden"}])
def test_what_needs_latents_in_the_conversation_is_refused(more):
    with pytest.raises(OptionError, match="decode_only does not go with"):
        DistillOptions(decode_only=True, **more)
