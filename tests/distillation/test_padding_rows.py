"""A model may have more embedding rows than its tokenizer has ids: those rows have no effect.

Each test compares a model with the same model that has padding rows, whose logits would be the largest.
"""

from dataclasses import asdict

import numpy as np
import pytest
import torch

from lar import adapt, distill
from lar.distillation import AdaptOptions, DistillOptions, Student
from lar.distillation.training.bits_per_byte import bits_per_byte
from lar.generation.generate import generate
from lar.generation.sampling import Sampling
from lar.scoring.score import score
from testing import tiny
from testing.few_steps import FEW
from testing.version_1 import as_version_1

PADDING = 24
PROMPT = "<|im_start|>user\nHow warm is it in Lima?<|im_end|>\n<|im_start|>assistant\n"


@pytest.fixture
def pair(trained):
    """The model with a row for each id, and with padding rows after those."""
    return tiny.copied(trained), tiny.padded(trained, trained.config.vocab_size + PADDING)


def assert_same_log(found, expected):
    assert len(found) == len(expected) > 0
    for line, other in zip(found, expected, strict=True):
        for name in ("loss", "grad_norm", "teacher_term", "unit_term", "hidden_term"):
            assert line.get(name) == pytest.approx(other.get(name), rel=1e-3, abs=1e-5), name


@pytest.mark.parametrize(
    ("tied", "chosen"),
    [
        (True, {"output_start": "fitted", "row_start": "hidden", "fitted_batches": 2, "hidden_batches": 2}),
        (False, {"loss": "paper", "hidden_weight": 0.5}),
        (True, {"loss": "sft"}),
        (False, {"control": True}),
    ],
)
def test_a_run_is_the_same(corpus, vocabulary, chosen, tied):
    narrow = tiny.model(vocabulary.base_size, tied=tied)
    options = DistillOptions(**{**FEW, **chosen}, max_steps=2)
    wide = tiny.padded(narrow, vocabulary.base_size + PADDING)
    latents = None if options.control else vocabulary
    students = [distill(corpus, model, latents, options) for model in (narrow, wide)]
    assert_same_log(*(student.record["log"][:-1] for student in students))
    for name, value in students[0].learnt().items():
        assert torch.allclose(students[1].learnt()[name], value, rtol=1e-3, atol=1e-4), name


def test_an_adapted_model_is_the_same(corpus, pair):
    weights = [tiny.state(adapt(corpus, model, AdaptOptions(**FEW, max_steps=2))) for model in pair]
    for name, value in weights[0].items():
        assert torch.allclose(weights[1][name][: len(value)], value, rtol=1e-3, atol=1e-5), name


@pytest.mark.parametrize("top_k", [8, None])
def test_a_cached_teacher_is_the_same(corpus, vocabulary, pair, tmp_path, top_k):
    top_k = top_k or vocabulary.base_size + PADDING  # which is cut to all ids
    options = DistillOptions(**FEW, max_steps=2, loss="marginal", cached_teacher=True)
    students = []
    for name, model in zip(("narrow", "wide"), pair, strict=True):
        scored = score(tiny.copy(corpus, tmp_path / name), model, max_length=256, top_k=top_k)
        students.append(distill(scored, model, vocabulary, options))
    assert_same_log(*(student.record["log"][:-1] for student in students))


def test_bits_per_byte_are_the_same(corpus, vocabulary, pair):
    options = DistillOptions(**FEW, max_steps=2)
    for arms in (pair, [distill(corpus, model, vocabulary, options) for model in pair]):
        narrow, wide = (asdict(bits_per_byte(corpus, arm)) for arm in arms)
        assert wide == pytest.approx(narrow, rel=1e-4)


@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.parametrize("arm", ["base", "control", "student"])
def test_generation_is_the_same_and_writes_no_padding(corpus, vocabulary, pair, arm, temperature):
    options = DistillOptions(**FEW, max_steps=2, row_learning_rate=3e-2, control=arm == "control")
    students = [
        Student.plain(model, corpus.tokenizer)
        if arm == "base"
        else distill(corpus, model, None if options.control else vocabulary, options)
        for model in pair
    ]
    sampling = Sampling(max_units=24, temperature=temperature, seed=0)
    narrow, wide = (generate(student, [PROMPT, "The temperature in"], sampling) for student in students)
    for found, expected in zip(wide, narrow, strict=True):
        if temperature == 0:  # a draw depends on the number of columns
            np.testing.assert_array_equal(found.units, expected.units)
        assert found.units.max() < vocabulary.base_size + len(students[1].vocabulary)


def test_a_student_of_version_1_keeps_working(corpus, vocabulary, pair, tmp_path):
    """Its latents have ids after the padding rows; its rows are stored by latent."""
    folder = tmp_path / "student"
    student = distill(corpus, pair[1], vocabulary, DistillOptions(**FEW, max_steps=2), folder)
    ids = torch.tensor([[vocabulary.base_size, 5, vocabulary.base_size + 3, 7]])
    with torch.no_grad():
        expected = student(ids).logits
    student.unload()
    as_version_1(vocabulary, folder / "vocabulary", padding=PADDING)
    old = Student.load(folder, pair[1])
    assert old.vocabulary == vocabulary
    with torch.no_grad():
        assert torch.equal(old(ids).logits, expected)
    assert expected.shape[-1] == vocabulary.base_size + len(vocabulary)
