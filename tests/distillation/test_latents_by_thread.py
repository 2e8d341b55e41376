"""A pass without latents in one thread leaves the passes of the others as they are."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, nullcontext

import pytest
import torch
from torch.utils.checkpoint import checkpoint

from lar.distillation import DistillOptions, Student
from lar.distillation import student as package
from lar.distillation.data import Examples, pack
from lar.distillation.training.step import DistillationStep
from lar.distillation.training.trainer import _checkpoint_activations
from testing import tiny
from testing.few_steps import FEW

OPTIONS = DistillOptions(**FEW, loss="marginal", hidden_weight=0.5)


def stirred(vocabulary):
    """A student whose LoRA and rows change the text."""
    student = Student.begin(tiny.model(vocabulary.base_size), vocabulary, OPTIONS).eval()
    draw = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, value in student.named_parameters():
            if "lora_B" in name or name.startswith("rows."):
                value.add_(0.3 * torch.randn(value.shape, generator=draw))
    return student


@pytest.fixture
def student(vocabulary):
    return stirred(vocabulary)


@pytest.fixture
def units(corpus, vocabulary):
    found = torch.from_numpy(Examples(corpus, vocabulary, 256)[0].units)[None]
    assert (found >= vocabulary.base_size).any()
    return found


@torch.no_grad()
def logits(student, ids):
    return student(ids).logits


@pytest.fixture
def other():
    """Runs a function in another thread, which has begun before."""
    with ThreadPoolExecutor(1) as threads:
        threads.submit(int).result()
        yield lambda *call: threads.submit(*call).result(timeout=60)


def test_latents_are_off_in_one_thread_alone(student, units, other):
    expected = logits(student, units)
    base = units.clamp_max(student.vocabulary.base_size - 1)
    with student.base_rows_only():
        alone = logits(student, base)
        assert alone.shape[-1] == student.vocabulary.base_size
        with student.base_rows_only():
            assert torch.equal(other(logits, student, units), expected)
        assert torch.equal(logits(student, base), alone)
    assert torch.equal(logits(student, units), expected)
    with ExitStack() as within:
        other(within.enter_context, student.base_rows_only())
        assert torch.equal(logits(student, units), expected)
        assert torch.equal(other(logits, student, base), alone)
        other(within.close)
    assert torch.equal(other(logits, student, units), expected)


def test_latents_of_one_student_are_off_alone(student, vocabulary, units):
    second = stirred(vocabulary)
    expected = logits(second, units)
    with student.base_rows_only():
        assert torch.equal(logits(second, units), expected)


def test_the_first_head_leaves_a_reply_in_another_thread_as_it_is(student, units, other, monkeypatch):
    expected, seen = logits(student, units), []
    head_of = package.head_of

    def watched(*arguments):
        seen.append(other(logits, student, units))
        return head_of(*arguments)

    monkeypatch.setattr(package, "head_of", watched)
    hidden = torch.randn(3, 48)
    student.logits(hidden)
    assert len(seen) == 1
    assert torch.equal(seen[0], expected)


def test_the_head_is_found_with_dropout_too(vocabulary):
    model = tiny.of_family("gpt2", vocabulary.base_size).train()
    model.transformer.h[0].eval()
    modes = [module.training for module in model.modules()]
    student = Student.plain(model, vocabulary.tokenizer)
    before = torch.get_rng_state()
    assert student.head.base_size == vocabulary.base_size
    assert torch.equal(torch.get_rng_state(), before)
    assert [module.training for module in model.modules()] == modes


def test_a_failed_look_up_leaves_nothing_for_the_next_pass(student, units):
    """The failed ids have the next ones' shape, so that they would be filled in without an error."""
    base = units.clamp_max(student.vocabulary.base_size - 1)
    expected = logits(student, units)
    with student.teacher():
        frozen = logits(student, base)
    for off, ids, wanted in ((student.teacher, base, frozen), (nullcontext, units, expected)):
        with pytest.raises(IndexError):
            logits(student, units.index_fill(1, torch.tensor([0]), -5))
        with off():
            assert torch.equal(logits(student, ids), wanted)


def gradients(student):
    return {n: v.grad for n, v in student.named_parameters() if v.grad is not None}


@pytest.mark.parametrize("recomputed", ["layers", "embedding and head too"])
def test_what_another_thread_computes_again_has_its_latents(corpus, vocabulary, units, other, recomputed):
    """As autograd does on a GPU; the thread of the forward pass is without latents by then."""
    found = []
    for again in (False, True):
        student = stirred(vocabulary).train()
        if recomputed == "layers":
            step = DistillationStep(student, OPTIONS)
            if again:
                _checkpoint_activations(student.base)
            loss = step(**pack(list(Examples(corpus, vocabulary, 256))[:2]))["loss"]
        else:
            passed = checkpoint(student, units, use_reentrant=False) if again else student(units)
            loss = passed.logits.logsumexp(-1).sum()
        with student.base_rows_only():
            other(loss.backward)
        found.append(gradients(student))
    assert found[0].keys() == found[1].keys()
    assert {"rows.input", "rows.output"} <= found[0].keys()
    assert all(torch.allclose(value, found[1][name], atol=1e-6) for name, value in found[0].items())
