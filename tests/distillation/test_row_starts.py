"""The new rows before the first step: which rows are fitted, and that held-out text gains by it."""

import pytest
import torch

from lar import distill
from lar.distillation import DistillOptions, Student
from lar.distillation.data import Examples, PackedExamples, pack
from lar.distillation.rows import fit_output
from lar.distillation.rows.fit_output import fit_output_rows
from lar.distillation.rows.match_hidden import hidden_distance, match_hidden_states
from lar.distillation.rows.start import start_rows
from lar.distillation.training.bits_per_byte import bits_per_byte
from lar.distillation.training.step import DistillationStep
from lar.errors import OptionError
from lar.mining.mine import mine
from lar.scoring.score import score
from testing import tiny
from testing.few_steps import FEW


def begin(corpus, vocabulary, teacher, *, tied=False, **options):
    model = tiny.model(vocabulary.base_size, tied=tied)
    model.load_state_dict(teacher.state_dict())
    chosen = DistillOptions(**FEW, **options)
    student = Student.begin(model, vocabulary, chosen)
    return DistillationStep(student, chosen), PackedExamples(Examples(corpus, vocabulary, 256), 256), chosen


def state(step):
    return {name: value.clone() for name, value in step.student.state_dict().items()}


def changed(step, before):
    after = step.student.state_dict()
    return {name for name, value in before.items() if not torch.equal(value, after[name])}


@pytest.mark.parametrize("loss", ["marginal", "paper", "sft"])
def test_fitting_moves_the_output_rows_alone_and_lowers_the_loss_of_unseen_text(corpus, trained, loss):
    train, held_out = corpus.split(0.3)
    vocabulary = mine(train, size=12)
    step, data, _ = begin(train, vocabulary, trained, loss=loss)
    before, text = state(step), bits_per_byte(held_out, step.student).bits_per_byte
    record = fit_output_rows(step, [data[i] for i in range(len(data))])
    assert changed(step, before) == {"rows.output"}
    assert record["after"] < record["before"]
    assert bits_per_byte(held_out, step.student).bits_per_byte < 0.9 * text


@pytest.mark.parametrize("loss", ["marginal", "sft"])
def test_fitting_reads_the_positions_that_the_loss_can_learn_from(corpus, vocabulary, trained, loss):
    step, data, _ = begin(corpus, vocabulary, trained, loss=loss)
    batch = data[0]
    batch["has_teacher"][::3] = False
    known = int(batch["has_teacher"].sum())
    assert 0 < known < len(batch["labels"])
    record = fit_output_rows(step, [batch])
    assert record["positions"] == (len(batch["labels"]) if loss == "sft" else known)


def test_rows_stay_where_the_fitted_ones_are_worse_on_positions_that_were_held_back(corpus, vocabulary):
    """The first four fifths of the units are one latent, which the others are not."""
    step, data, _ = begin(corpus, vocabulary, tiny.model(vocabulary.base_size))
    batch = data[0]
    count = len(batch["labels"])
    border = count - count // 5
    batch["labels"][:border] = vocabulary.base_size
    batch["labels"][border:] = vocabulary.latents[0].tokens[0]
    before = state(step)
    record = fit_output_rows(step, [batch])
    assert not changed(step, before)
    assert record["after"] == record["before"]


@pytest.mark.parametrize("count", [0, 4])
def test_fitting_needs_enough_positions_to_hold_one_back(corpus, vocabulary, trained, count):
    step, data, _ = begin(corpus, vocabulary, trained, loss="marginal")
    before, batch = state(step), data[0]
    batch["has_teacher"][batch["has_teacher"].nonzero()[count:]] = False
    assert fit_output_rows(step, [batch]) == {"positions": count}
    assert not changed(step, before)


def test_fitting_reads_no_more_batches_than_it_has_room_for(corpus, vocabulary, monkeypatch):
    step, data, _ = begin(corpus, vocabulary, tiny.model(vocabulary.base_size))
    batches = [data[at] for at in range(3)]
    counts = [len(batch["labels"]) for batch in batches]
    for room, read in ((counts[0], 1), (counts[0] + 1, 2)):
        monkeypatch.setattr(fit_output, "MOST_POSITIONS", room)
        assert fit_output_rows(step, batches)["positions"] == sum(counts[:read])


def test_matching_moves_the_input_rows_of_latents_that_it_met_alone(corpus, vocabulary, trained):
    step, data, _ = begin(corpus, vocabulary, trained)
    before, batches = state(step), [data[i] for i in range(8)]
    with torch.no_grad():
        distance = sum(float(hidden_distance(step, batch)) for batch in batches)
    record = match_hidden_states(step, batches, len(batches), 3e-2)
    assert changed(step, before) == {"rows.input"}
    met = {int(unit) for batch in batches for unit in batch["units"][0] if unit >= vocabulary.base_size}
    moved = (step.student.rows.input != before["rows.input"]).any(-1).nonzero()[:, 0].tolist()
    assert {vocabulary.base_size + row for row in moved} == met
    assert record["batches"] == len(batches)
    assert record["distance_at_last"] < record["distance_at_first"]
    with torch.no_grad():
        assert sum(float(hidden_distance(step, batch)) for batch in batches) < 0.9 * distance


def test_the_distance_is_that_of_each_unit_and_its_last_token(corpus, vocabulary, trained):
    step, data, _ = begin(corpus, vocabulary, trained)
    example = data.examples[0]
    student = step.student
    with torch.no_grad():
        found = student.base.model(torch.from_numpy(example.units)[None])[0][0].double()
        with student.teacher():
            said = student.base.model(torch.from_numpy(example.tokens)[None])[0][0].double()
    ends = [len(vocabulary.expand(example.units[: at + 1])) - 1 for at in range(len(example.units))]
    expected = (found - said[ends]).pow(2).mean() / said[ends].pow(2).mean()
    assert float(hidden_distance(step, pack([example])).detach()) == pytest.approx(float(expected), rel=1e-4)


@pytest.mark.parametrize("loss", ["marginal", "sft"])
def test_the_third_term_is_that_distance_for_each_taught_unit(corpus, vocabulary, trained, loss):
    step, data, _ = begin(corpus, vocabulary, trained, loss=loss, hidden_weight=2.0)
    plain, _, _ = begin(corpus, vocabulary, trained, loss=loss)
    batch = data[0]
    with torch.no_grad():
        expected = 2 * len(batch["labels"]) * float(hidden_distance(step, batch))
        found = float(step(**batch)["loss"]) - float(plain(**batch)["loss"])
    assert found == pytest.approx(expected, rel=1e-3)


def test_a_run_starts_as_its_options_say_and_tells_what_it_saw(corpus, vocabulary, trained):
    step, data, options = begin(corpus, vocabulary, trained, row_start="hidden", hidden_batches=3)
    before = state(step)
    assert set(start_rows(step, data, options)) == {"hidden", "fitted"}
    assert changed(step, before) == {"rows.input", "rows.output"}
    step, data, options = begin(corpus, vocabulary, trained, output_start="first")
    before = state(step)
    assert start_rows(step, data, options) == {}
    assert not changed(step, before)


def test_a_control_has_no_rows_to_start(corpus, trained):
    step, data, options = begin(corpus, tiny.no_latents(corpus), trained, row_start="hidden")
    assert start_rows(step, data, options) == {}


def test_starts_read_a_cached_teacher_too(corpus, vocabulary, trained, tmp_path):
    model = tiny.model(vocabulary.base_size)
    model.load_state_dict(trained.state_dict())
    model.save_pretrained(tmp_path / "model")
    scored = tiny.copy(corpus, tmp_path / "corpus")
    score(scored, tmp_path / "model", max_length=256, top_k=vocabulary.base_size)
    outputs = [
        distill(
            scored,
            tmp_path / "model",
            vocabulary,
            DistillOptions(**FEW, max_steps=1, loss="marginal", cached_teacher=c),
        )
        for c in (False, True)
    ]
    assert torch.allclose(*(s.rows.output for s in outputs), atol=2e-2)


@pytest.mark.parametrize("wrong", [{"output_start": "mean"}, {"hidden_batches": 0}, {"fitted_batches": 0}])
def test_wrong_starts_are_refused(wrong):
    with pytest.raises(OptionError):
        DistillOptions(**wrong)
