"""Conversations in a batch: each has the units that it has alone, also after others have ended."""

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the extra `train`")
pytest.importorskip("transformers", reason="needs the extra `train`")

import torch

from lar.distillation import DistillOptions, Student
from lar.errors import OptionError
from lar.generation.batch import ConversationBatch
from lar.generation.conversation import Conversation
from lar.generation.sampling import Sampling
from testing import tiny

SAMPLING = Sampling(max_units=9)
TURNS = [
    [
        "<|im_start|>user\nHow warm is it in Lima?<|im_end|>\n<|im_start|>assistant\n",
        "Hello",
        "Kyoto and Perth:",
    ],
    ["\n<|im_start|>tool\n21<|im_end|>\n<|im_start|>assistant\n", "And in Rome?", "\n7"],
    ["In Oslo?", "\n<|im_start|>tool\n-3<|im_end|>\n<|im_start|>assistant\n", "\n21 21 21 21"],
    ["1", "2", "3"],
]


@pytest.fixture(scope="module")
def student(corpus, vocabulary):
    """A student with random output rows, so that no two units are equally likely."""
    student = Student.begin(tiny.teacher(corpus), vocabulary, DistillOptions(device="cpu"))
    with torch.no_grad():
        student.rows.output += 0.3 * torch.randn_like(student.rows.output)
    return student.eval()


@pytest.mark.parametrize("kept", [[0, 1, 2], [0, 2], [2, 0], [1]])
def test_each_conversation_equals_the_same_one_alone(student, kept):
    _check_equal_alone(student, kept)


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_each_conversation_of_any_family_equals_the_same_one_alone(vocabulary, family):
    """Sliding windows and recurrent states must not read the padding between turns."""
    model = tiny.of_family(family, vocabulary.base_size)
    _check_equal_alone(Student.plain(model, vocabulary.tokenizer), [2, 0])


def _check_equal_alone(student, kept):
    alone = [Conversation(student, SAMPLING) for _ in range(3)]
    together = ConversationBatch(student, 3, SAMPLING)
    rows = [0, 1, 2]
    for number, turns in enumerate(TURNS):
        if number == 2:
            together.keep(kept)
            rows = kept
        written = together.reply([turns[row] for row in rows])
        for row, got in zip(rows, written, strict=True):
            alone[row].append(turns[row])
            expected = alone[row].reply()
            assert got.units.tolist() == expected.units.tolist()
            assert (got.text, got.finish_reason) == (expected.text, expected.finish_reason)
            assert np.array_equal(got.base_ids, expected.base_ids)
    assert len(together) == len(kept)


def test_only_new_units_are_read(student):
    together = ConversationBatch(student, 2, SAMPLING)
    widths = []
    handle = student.base.model.register_forward_pre_hook(
        lambda _, __, inputs: widths.append(inputs["input_ids"].shape[1]), with_kwargs=True
    )
    longest = max(len(generation.units) for generation in together.reply(["one", "two and three"]))
    prefill = widths[0]
    together.reply(["four", "five"])
    handle.remove()
    assert sum(widths[:longest]) == prefill + longest - 1
    assert widths[longest] < prefill + longest  # the last unit and the new prompt, without the history


def test_wrong_prompts_are_refused(student):
    with pytest.raises(OptionError):
        ConversationBatch(student, 0)
    with pytest.raises(OptionError, match="must be a list"):
        ConversationBatch(student, 2).reply("ab")
    with pytest.raises(OptionError, match="1 prompts for 2"):
        ConversationBatch(student, 2).reply(["one"])
    with pytest.raises(OptionError, match="empty"):
        ConversationBatch(student, 2).reply(["one", ""])


@pytest.mark.parametrize("rows", [[2], [-1], [True, False], [0.5]])
def test_rows_that_there_are_not_cannot_be_kept(student, rows):
    with pytest.raises(OptionError, match="rows must be of 0 to 1"):
        ConversationBatch(student, 2).keep(rows)


def test_where_all_have_ended_none_is_left(student):
    together = ConversationBatch(student, 2, SAMPLING)
    together.reply(["one", "two"])
    together.keep([])
    assert len(together) == 0
    with pytest.raises(OptionError, match="no conversation is left"):
        together.reply([])
