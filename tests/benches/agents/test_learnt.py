"""How well latents are learnt, by their uses."""

import pytest

pytest.importorskip("torch", reason="the benches need the extra `train`")

from benches.agents.learnt import compared
from lar import distill
from lar.distillation import DistillOptions, Student
from lar.distillation.training.bits_per_byte import bits_per_byte
from testing import tiny
from testing.few_steps import FEW


def test_the_rows_add_up_to_the_bits_of_both_models(corpus, vocabulary):
    model = tiny.model(vocabulary.base_size)
    student = distill(corpus, tiny.copied(model), vocabulary, DistillOptions(**FEW, max_steps=2))
    teacher = Student.plain(model, corpus.tokenizer)
    rows = compared(corpus, student, teacher, max_length=128)
    measured = bits_per_byte(corpus, student, max_length=128, allow_seen=True)
    of_teacher = bits_per_byte(corpus, teacher, max_length=128, allow_seen=True)
    assert sum(row.student for row in rows.values()) == pytest.approx(measured.bits, rel=1e-4)
    assert sum(row.teacher for row in rows.values()) == pytest.approx(of_teacher.bits, rel=1e-4)
    assert sum(row.units for row in rows.values()) == measured.units
    assert sum(row.units for name, row in rows.items() if name != "explicit") == measured.latents > 0
    assert all(row.line("x").count("|") == 7 for row in rows.values())
