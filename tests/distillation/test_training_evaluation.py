"""Evaluation during training, early stopping, and the reports of both."""

import json
import sys
import types
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lar import adapt, distill
from lar.cli.common import console, progress_bar
from lar.distillation import AdaptOptions, DistillOptions, Student
from lar.distillation.data import Examples, PackedExamples
from lar.distillation.training import callbacks
from lar.distillation.training.bits_per_byte import bits_per_byte
from lar.distillation.training.callbacks import ScheduleCallback
from lar.distillation.training.held_out import HeldOut
from lar.distillation.training.reporting import PACKAGES, check_report_to, log_folder
from lar.distillation.training.stopping import MEASURE, Course
from lar.errors import LarError, MissingExtraError, OptionError
from lar.utils.progress import annotate
from testing import tiny
from testing.few_steps import FEW, KilledError, kill_at

FIGURES = ["eval_bits_per_byte", "eval_latent_use", "eval_explicit_preference"]


def evaluations(student):
    return [{name: line.get(name) for name in FIGURES} for line in student.record["log"] if MEASURE in line]


def test_latent_use_and_explicit_preference_are_those_of_the_whole_models_logits(
    sides, mined, teacher_folder
):
    options = DistillOptions(**FEW, max_steps=12, row_learning_rate=3e-2, learning_rate=3e-3)
    student = distill(sides[0], str(teacher_folder), mined, options)
    counts, size = np.zeros(3, dtype=int), mined.base_size
    for example in Examples(sides[1], mined, 1024):
        with torch.no_grad():
            logits = student(torch.from_numpy(example.units)[None]).logits[0]
        for at in example.supervised:
            unit = example.units[at]
            if unit >= size:
                before = logits[at - 1]
                first = mined.latents[unit - size].tokens[0]
                counts += [1, int(before.argmax()) >= size, bool(before[first] > before[unit])]
    found = bits_per_byte(sides[1], student, max_length=1024)
    assert [found.latents, found.latents_written, found.explicit_preferred] == counts.tolist()
    assert 0 < counts[1] < counts[0]
    assert found.latent_use == counts[1] / counts[0]
    assert found.to_dict()["explicit_preference"] == counts[2] / counts[0]
    plain = bits_per_byte(sides[1], str(teacher_folder))
    assert plain.latents == 0
    assert plain.shares() == {"bits_per_byte": plain.bits_per_byte}


def test_the_speed_counts_the_preparation_of_data_and_no_evaluation(
    sides, mined, teacher_folder, monkeypatch
):
    """By a clock that moves only when a batch is made, or when something is measured or written."""
    now = [0.0]

    def moves(kind, name, seconds):
        plain = getattr(kind, name)

        def moved(*arguments):
            now[0] += seconds
            return plain(*arguments)

        monkeypatch.setattr(kind, name, moved)

    moves(PackedExamples, "__getitem__", 1.0)
    moves(HeldOut, "measure", 1e4)
    moves(Student, "save_weights", 1e6)
    monkeypatch.setattr(callbacks, "time", types.SimpleNamespace(perf_counter=lambda: now[0]))
    few = {**FEW, "max_steps": 6, "save_steps": 2, "output_start": "first"}
    options = DistillOptions(**few, evaluate_steps=2, patience=3)
    student = distill(sides[0], str(teacher_folder), mined, options, held_out=sides[1])
    lines = [line for line in student.record["log"] if "loss" in line]
    seconds = sum(line["base_tokens"] / line["base_tokens_per_second"] for line in lines)
    assert len(lines) == 3
    assert seconds == pytest.approx(6, abs=1.1)  # the loader is a batch ahead


def test_evaluations_are_logged_and_change_nothing_that_is_learnt(sides, mined, teacher_folder):
    train, held_out = sides
    common = {**FEW, "max_steps": 5, "lora_dropout": 0.1, "output_start": "first"}
    options = DistillOptions(**common, evaluate_steps=2, evaluated_windows=None)
    told = Listener()
    student = distill(train, str(teacher_folder), mined, options, held_out=held_out, progress=told)
    lines = [line for line in student.record["log"] if MEASURE in line]
    assert [line["step"] for line in lines] == [2, 4, 5]
    assert lines[-1][MEASURE] == bits_per_byte(held_out, student, max_length=256).bits_per_byte
    assert all(0 <= line[name] <= 1 for line in lines for name in FIGURES[1:])
    without = distill(train, str(teacher_folder), mined, DistillOptions(**common))
    assert all(torch.equal(value, student.state_dict()[name]) for name, value in without.state_dict().items())
    steps = [line for line in student.record["log"] if "loss" in line]
    assert all(line["base_tokens_per_second"] > 0 for line in steps)
    assert told.steps == [1, 2, 3, 4, 5]
    assert any("tokens/s" in note for note in told.notes)
    assert all(
        part in told.notes[-1] for part in ("tokens/s", "bits/byte", "latents used", "base tokens preferred")
    )


class Listener:
    def __init__(self):
        self.steps, self.notes = [], []

    def __call__(self, done, total):  # noqa: ARG002
        self.steps.append(done)

    def note(self, text):
        self.notes.append(text)


def test_a_plain_callback_hears_no_notes():
    annotate(lambda done, total: pytest.fail(f"{done} of {total}"), "fast")


@pytest.fixture
def fresh_console():
    """A console reads its environment once, so each test needs a new one."""
    console.cache_clear()
    yield
    console.cache_clear()


@pytest.mark.usefixtures("fresh_console")
def test_a_bar_shows_notes(monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    monkeypatch.setenv("COLUMNS", "160")
    with progress_bar("distilling", unit="steps") as progress:
        progress(1, 2)
        annotate(progress, "1,234 tokens/s")
    assert "1,234 tokens/s" in capsys.readouterr().err


def test_a_sample_is_the_same_every_time(sides, mined):
    options = DistillOptions(**FEW, evaluate_steps=1, evaluated_windows=5)
    several = [HeldOut(sides[1], mined, options) for _ in range(2)]
    assert several[0].chosen == several[1].chosen
    assert len(set(several[0].chosen)) == 5
    assert HeldOut(sides[1], mined, replace(options, seed=1)).chosen != several[0].chosen
    student = Student.begin(tiny.model(mined.base_size), mined, options)
    assert several[0].measure(student) == several[1].measure(student)


def test_adapt_is_evaluated_without_latents(sides, teacher_folder, tmp_path):
    options = AdaptOptions(**FEW, max_steps=2, evaluate_steps=1)
    adapt(sides[0], str(teacher_folder), options, tmp_path / "adapted", held_out=sides[1])
    file = tmp_path / "adapted" / "adaptation.json"
    assert AdaptOptions.from_file(file) == options
    lines = [line for line in json.loads(file.read_text())["log"] if MEASURE in line]
    assert [set(line) for line in lines] == [{MEASURE, "epoch", "step"}] * 2


@pytest.mark.parametrize("steps", [None, 1])
def test_evaluation_needs_both_its_halves(sides, mined, teacher_folder, steps):
    options = DistillOptions(**FEW, max_steps=1, evaluate_steps=steps)
    held_out = sides[1] if steps is None else None
    with pytest.raises(OptionError, match="evaluate_steps"):
        distill(sides[0], str(teacher_folder), mined, options, held_out=held_out)
    if steps:
        silent = sides[1].select(lambda _: False)
        with pytest.raises(LarError, match="no text of the agent"):
            distill(sides[0], str(teacher_folder), mined, options, held_out=silent)


# Early stopping.


def log_of(values):
    return [{"step": step, MEASURE: value} for step, value in enumerate(values, start=1)]


@given(st.lists(st.floats(0, 10) | st.just(float("nan")), max_size=12), st.floats(0, 2))
def test_the_course_of_a_log(values, least):
    course = Course.of([{"loss": 1.0, "step": 0}, *log_of(values)], least)
    finite = [value for value in values if value == value]
    if not finite:
        assert course.best_step is None
        assert course.waited == len(values)
        return
    assert course.best == min(finite)
    assert course.best_step == values.index(course.best) + 1
    reference, gains = float("inf"), []
    for step, value in enumerate(values, start=1):
        if value < reference - least:
            reference = value
            gains.append(step)
    assert course.waited == len(values) - gains[-1]


def scripted(monkeypatch, values):
    """Make the evaluations return `values`, by the step of the run."""
    steps = []

    class Found:
        def __init__(self, value):
            self.value = value

        def shares(self):
            return {"bits_per_byte": self.value}

    count = ScheduleCallback.on_step_end

    def on_step_end(self, args, state, control, **keywords):
        steps.append(state.global_step)
        return count(self, args, state, control, **keywords)

    monkeypatch.setattr(ScheduleCallback, "on_step_end", on_step_end)
    monkeypatch.setattr(HeldOut, "measure", lambda self, student: Found(values[steps[-1] - 1]))  # noqa: ARG005
    return steps


def test_a_run_without_improvement_stops_and_keeps_its_best(
    sides, mined, teacher_folder, tmp_path, monkeypatch
):
    common = {**FEW, "scheduler": "constant", "warmup_ratio": 0.0}
    steps = scripted(monkeypatch, [3.0, 2.0, 2.5, 1.99, 2.1, 0.0, 0.0])
    options = DistillOptions(**common, max_steps=7, evaluate_steps=1, patience=2, min_improvement=0.1)
    arguments = sides[0], str(teacher_folder), mined
    stopped = distill(*arguments, options, tmp_path / "stopped", held_out=sides[1])
    assert steps == [1, 2, 3, 4]
    assert stopped.record["kept"] == {"step": 4, "bits_per_byte": 1.99, "stopped_early": True}
    assert stopped.record["steps"] == 4
    assert [line["step"] for line in stopped.record["log"] if "loss" in line][-1] == 4
    monkeypatch.undo()
    steps = scripted(monkeypatch, [3.0, 2.0, 2.5, 2.4, 1.0, 0.0, 0.0])
    options = DistillOptions(**common, max_steps=7, evaluate_steps=1, patience=2, save_steps=3)
    kept = distill(*arguments, options, tmp_path / "kept", held_out=sides[1])
    assert kept.record["kept"]["step"] == 2
    monkeypatch.undo()
    alone = distill(*arguments, DistillOptions(**common, max_steps=2))
    saved = Student.load(tmp_path / "kept", str(teacher_folder))
    for name, value in alone.state_dict().items():
        assert torch.equal(value, kept.state_dict()[name]), name
        assert torch.equal(value, saved.state_dict()[name]), name


def curve(student):
    skipped = {
        "base_tokens_per_second",
        "train_runtime",
        "train_samples_per_second",
        "train_steps_per_second",
    }
    lines = [line for line in student.record["log"] if "train_runtime" not in line]
    return [{name: value for name, value in line.items() if name not in skipped} for line in lines]


@pytest.mark.parametrize("killed_at", [3, 5, 7])
def test_a_killed_run_goes_on_to_the_same_curve_and_the_same_end(
    sides, mined, teacher_folder, tmp_path, monkeypatch, killed_at
):
    values = [3.0, 2.0, 2.5, 1.8, 2.1, 1.9, 2.2, 0.0, 0.0]
    options = DistillOptions(
        **{**FEW, "logging_steps": 4},
        max_steps=9,
        save_steps=3,
        evaluate_steps=1,
        patience=3,
        lora_dropout=0.1,
        output_start="first",
    )
    arguments = sides[0], str(teacher_folder), mined, options
    scripted(monkeypatch, values)
    whole = distill(*arguments, tmp_path / "whole", held_out=sides[1])
    assert whole.record["kept"] == {"step": 4, "bits_per_byte": 1.8, "stopped_early": True}
    assert whole.record["steps"] == 7
    with pytest.raises(KilledError):
        distill(*arguments, tmp_path / "killed", held_out=sides[1], progress=kill_at(killed_at))
    resumed = distill(*arguments, tmp_path / "killed", held_out=sides[1])
    assert curve(resumed) == curve(whole)
    assert resumed.record["kept"] == whole.record["kept"]
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name


def test_a_run_killed_while_it_was_saved_does_not_learn_more(
    sides, mined, teacher_folder, tmp_path, monkeypatch
):
    options = DistillOptions(**FEW, max_steps=3, save_steps=2, output_start="first")
    arguments = sides[0], str(teacher_folder), mined, options, tmp_path / "student"
    save = Student.save
    monkeypatch.setattr(Student, "save", lambda *_: (_ for _ in ()).throw(KilledError))
    with pytest.raises(KilledError):
        distill(*arguments)
    monkeypatch.setattr(Student, "save", save)
    seen = []
    resumed = distill(*arguments, progress=lambda done, _: seen.append(done))
    assert seen == []
    assert resumed.record["steps"] == 3
    whole = distill(*arguments[:4])
    assert all(torch.equal(value, resumed.state_dict()[name]) for name, value in whole.state_dict().items())


def test_with_patience_other_held_out_conversations_are_another_run(sides, mined, teacher_folder, tmp_path):
    for patience in (None, 3):
        options = DistillOptions(
            **FEW, max_steps=3, save_steps=1, evaluate_steps=1, patience=patience, output_start="first"
        )
        arguments = sides[0], str(teacher_folder), mined, options, tmp_path / f"student-{patience}"
        with pytest.raises(KilledError):
            distill(*arguments, held_out=sides[1], progress=kill_at(2))
        other = sides[1].select(sorted(sides[1].tasks)[:3].__contains__)
        if patience is None:
            distill(*arguments, held_out=other)
        else:
            with pytest.raises(OptionError, match="held_out"):
                distill(*arguments, held_out=other)


# Where the log goes.


def test_a_missing_integration_is_said_before_anything_is_loaded(corpus, mined, monkeypatch, tmp_path):
    find = sys.modules["importlib.util"].find_spec
    absent = {package for packages in PACKAGES.values() for package in packages}
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name in absent else find(name))
    for name, packages in PACKAGES.items():
        with pytest.raises(MissingExtraError, match=f"pip install {packages[0]}"):
            distill(corpus, tmp_path / "no model", mined, DistillOptions(report_to=(name,)))
        with pytest.raises(MissingExtraError):
            adapt(corpus, tmp_path / "no model", AdaptOptions(report_to=(name,)))
    with pytest.raises(OptionError, match="none of"):
        check_report_to(["paper"])


def test_tensorboard_gets_losses_and_evaluations_beside_the_output(
    sides, mined, teacher_folder, tmp_path, monkeypatch
):
    written = {}

    class Writer:
        def __init__(self, log_dir):
            self.folder = log_dir

        def add_text(self, *_):
            pass

        def add_scalar(self, name, value, step):
            written.setdefault((self.folder, name), []).append((step, value))

        def flush(self):
            pass

        close = flush

    module = types.ModuleType("torch.utils.tensorboard")
    module.SummaryWriter = Writer
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", module)
    monkeypatch.setattr("lar.distillation.training.reporting.check_report_to", lambda names: None)  # noqa: ARG005
    monkeypatch.setattr("lar.distillation.distill.check_report_to", lambda names: None)  # noqa: ARG005
    monkeypatch.setattr("transformers.integrations.integration_utils.is_tensorboard_available", lambda: True)
    monkeypatch.delenv("TENSORBOARD_LOGGING_DIR", raising=False)
    options = DistillOptions(**FEW, max_steps=4, evaluate_steps=2, report_to=("tensorboard",))
    student = distill(sides[0], str(teacher_folder), mined, options, tmp_path / "a.b", held_out=sides[1])
    folder = str(tmp_path / "a.b.logs")
    assert [step for step, _ in written[folder, "train/loss"]] == [2, 4]
    said = [line[MEASURE] for line in student.record["log"] if MEASURE in line]
    assert written[folder, "eval/bits_per_byte"] == list(zip([2, 4], said, strict=True))
    monkeypatch.setenv("TENSORBOARD_LOGGING_DIR", str(tmp_path / "mine"))
    assert log_folder(None) == tmp_path / "mine"
