"""A sweep: every setting is trained once, beside one control, and a stopped sweep goes on."""

import json
import os
import re
import shutil
from dataclasses import replace
from math import inf, nan
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the extra `train`")
pytest.importorskip("transformers", reason="needs the extra `train`")

from lar.corpus import Corpus
from lar.distillation import DistillOptions
from lar.distillation.distill import distill as trained_by
from lar.distillation.distill import number_of_steps
from lar.errors import CorpusError, OptionError
from lar.evaluation.boundary import SweepOptions, sweep
from lar.evaluation.boundary import sweep as package
from lar.evaluation.boundary.plot import picture
from lar.evaluation.boundary.points import name_of
from lar.evaluation.reduction import Counts, Evaluation
from lar.mining.mine import mine
from testing import toy
from testing.scores import score_with

_bools = package.__globals__["_bools"]
STEPS = DistillOptions(max_steps=3, max_length=128, device="cpu", fitted_batches=2)
OPTIONS = SweepOptions(sizes=(4, 8), gates=(None, "p75"))


@pytest.fixture(scope="module")
def split_corpus(tokenizer, tmp_path_factory):
    folder = tmp_path_factory.mktemp("swept") / "corpus"
    return Corpus.build(toy.trajectories(24), tokenizer, folder, hold_out=0.25)


@pytest.fixture(scope="module")
def done(split_corpus, teacher_folder, tmp_path_factory):
    output, said = tmp_path_factory.mktemp("sweep") / "out", []
    result = sweep(split_corpus, teacher_folder, output, OPTIONS, STEPS, announce=said.append)
    return output, result, said


def test_there_is_a_student_for_each_setting_and_one_control(done):
    output, result, said = done
    assert [point.name for point in result.points] == ["none-4", "none-8", "p75-4", "p75-8"]
    assert all(point.reduction > 0 and 0 < point.latents <= point.size for point in result.points)
    assert (result.control.latents, result.control.reduction) == (0, 0.0)
    assert len(said) == 1
    assert re.match("5 of 5 students to train, 3 steps each: .+ of training", said[0])
    written = json.loads((output / "result.json").read_text())
    assert written == json.loads(json.dumps(result.to_dict()))
    assert json.loads((output / "sweep.json").read_text())["entropies"] == {}  # the gates are by n-grams
    assert {"sweep.svg", "sweep.png", "sweep.json"} <= {file.name for file in output.iterdir()}
    assert (output / "sweep.png").read_bytes().startswith(b"\x89PNG")
    assert "no gate" in written["words"] or "p75" in written["words"]


@pytest.fixture
def trained(monkeypatch):
    """The names of the students that are trained."""
    names, distill = [], package.__globals__["distill"]

    def counted(*arguments, **keywords):
        if len(arguments) > 4:  # else it is timed
            names.append(arguments[4].parent.name)
        return distill(*arguments, **keywords)

    monkeypatch.setitem(package.__globals__, "distill", counted)
    return names


def test_a_sweep_goes_on_and_takes_further_settings(done, split_corpus, teacher_folder, trained):
    output, before, _ = done
    (output / "none-8.json").unlink()  # its student is there: it is loaded, not trained
    wider = replace(OPTIONS, sizes=(4, 8, 6))
    said = []
    result = sweep(str(split_corpus.path), teacher_folder, output, wider, STEPS, announce=said.append)
    assert said[0].startswith("2 of 7 students to train, ")
    assert result.points[0] == before.points[0]
    assert [point.name for point in result.points if point.size == 6] == ["none-6", "p75-6"]
    assert trained == ["none-6", "p75-6"]
    assert result.points[1].bits_per_byte == pytest.approx(before.points[1].bits_per_byte, rel=1e-5)


def test_students_whose_measuring_was_stopped_are_not_trained_again(
    split_corpus, teacher_folder, tmp_path, trained
):
    options, arguments = SweepOptions(sizes=(4,), gates=(None,)), (split_corpus, teacher_folder)
    answers = [KeyboardInterrupt(), KeyboardInterrupt(), [True], [True, False], [True]]

    def solved(_student):
        if isinstance(answer := answers.pop(0), BaseException):
            raise answer
        return answer

    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            sweep(*arguments, tmp_path / "out", options, STEPS, success=solved)
    with pytest.raises(OptionError, match=r"solved returned 2 tasks, and 1 for the control"):
        sweep(*arguments, tmp_path / "out", options, STEPS, success=solved)
    result = sweep(*arguments, tmp_path / "out", options, STEPS, success=solved)
    assert trained == ["control", "none-4"]
    assert (result.control.latents, result.points[0].latents) == (0, 4)
    assert result.points[0].success == (True,)
    recorded = json.loads((tmp_path / "out" / "sweep.json").read_text())["success"]
    assert recorded == f"{Path(__file__).resolve()}:{solved.__qualname__}"
    with pytest.raises(OptionError, match="a sweep with another success"):
        sweep(*arguments, tmp_path / "out", replace(options, sizes=(8,)), STEPS, success=lambda _: [True])
    assert trained == ["control", "none-4"]


@pytest.mark.parametrize("returned", [0.9, (), [0.9], None, "01", [[True], [False]], np.eye(2)])
def test_what_is_no_bool_for_each_task_is_one_line(returned):
    with pytest.raises(OptionError, match=r"solved must return one bool for each task, not ") as caught:
        _bools(solved, returned)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("returned", [[True, False], (1, 0), np.array([True, False]), iter([True, False])])
def test_bools_of_several_kinds_are_taken(returned):
    assert _bools(solved, returned) == (True, False)


def solved(_student):
    return [True]


def test_a_result_has_the_points_of_all_calls(done, split_corpus, teacher_folder, trained):
    output, before, _ = done
    result = sweep(split_corpus, teacher_folder, output, replace(OPTIONS, sizes=(8,)), STEPS)
    assert trained == []
    assert {point.name for point in before.points} <= {point.name for point in result.points}
    assert [point.name for point in result.points[:2]] == ["none-8", "p75-8"]
    written = json.loads((output / "result.json").read_text())
    assert len(written["points"]) == len(picture(result)["data"]["values"]) == len(result.points)


def test_relative_and_absolute_paths_are_one_sweep(done, split_corpus, teacher_folder, trained, monkeypatch):
    output, _, _ = done
    monkeypatch.chdir(split_corpus.path.parent)
    model = os.path.relpath(teacher_folder)
    sweep(split_corpus.path.name, model, os.path.relpath(output), replace(OPTIONS, sizes=(8,)), STEPS)
    assert trained == []


def test_files_beside_the_points_are_no_points(done, split_corpus, teacher_folder, trained):
    output, before, _ = done
    (output / "sweep-log.json").write_text("{")
    result = sweep(split_corpus, teacher_folder, output, OPTIONS, STEPS)
    assert {point.name for point in before.points} <= {point.name for point in result.points}
    (output / "none-9" / "student").mkdir(parents=True)
    (output / "none-9" / "student" / "distillation.json").write_text("{}")
    (output / "none-9.json").write_text('{"size": 9}')
    with pytest.raises(OptionError, match=r"none-9\.json: no point of a sweep"):
        sweep(split_corpus, teacher_folder, output, OPTIONS, STEPS)
    (output / "none-9.json").unlink()
    assert trained == []


@pytest.mark.parametrize(("decode_only", "fewer"), [(False, 0.25), (True, 0.0)])
def test_prompts_of_a_student_that_reads_base_tokens_are_not_shorter(
    split_corpus, teacher_folder, tmp_path, monkeypatch, decode_only, fewer
):
    counts = Counts(base_tokens=10, units=5, context_base_tokens=30, context_units=20)
    monkeypatch.setitem(package.__globals__, "evaluate", lambda *_: Evaluation(counts))
    options = replace(STEPS, max_steps=1, decode_only=decode_only, output_start="first")
    [point] = sweep(split_corpus, teacher_folder, tmp_path, SweepOptions((8,), (None,)), options).points
    assert (point.reduction, point.prompt_reduction) == (0.5, fewer)


def test_sizes_with_the_same_latents_share_a_student(split_corpus, teacher_folder, tmp_path, trained):
    arguments, output, said = (split_corpus, teacher_folder), tmp_path / "out", []
    options = SweepOptions(sizes=(256, 64), gates=(None,))
    first = sweep(*arguments, output, options, STEPS, announce=said.append)
    assert said[0].startswith("2 of 2 students to train, ")
    own, shared = first.points
    assert (own.name, own.same_as, shared.name, shared.same_as) == ("none-256", None, "none-64", "none-256")
    assert shared == replace(own, size=64, same_as="none-256")
    wider = sweep(*arguments, output, replace(options, sizes=(64, 128)), STEPS)
    assert trained == ["control", "none-256"]
    assert [(point.name, point.same_as) for point in wider.points] == [
        ("none-64", "none-256"),
        ("none-128", "none-256"),
        ("none-256", None),
    ]
    assert wider.to_dict()["recommended"] in (None, "none-256")


def test_settings_without_a_latent_are_refused_before_the_training(
    tokenizer, teacher_folder, tmp_path, trained
):
    corpus = Corpus.build(toy.trajectories(8), tokenizer, tmp_path / "corpus", hold_out=0.25)
    score_with(corpus, lambda shard: np.ones(len(shard.tokens)))
    options = SweepOptions(sizes=(4,), gates=(None, 0.5))
    with pytest.raises(
        OptionError, match=r"^0\.5-4: no latents, so leave it out: no segment .*--max-entropy"
    ):
        sweep(Corpus.load(corpus.path), teacher_folder, tmp_path / "out", options, STEPS)
    assert trained == []
    assert not (tmp_path / "out" / "0.5-4").exists()


def test_gates_that_are_numbers_have_names_of_their_own():
    options = SweepOptions(sizes=(64,), gates=(None, 0.0, 0.25, "0.25", "p75"))
    names = [name_of(gate, size) for gate, size in options.settings()]
    assert names == ["none-64", "0-64", "0.25-64", "p75-64"]


def test_the_steps_of_an_epoch_are_those_that_are_taken(split_corpus, teacher_folder, tmp_path):
    steps = replace(STEPS, max_steps=None, epochs=1.5, max_length=64, gradient_accumulation=2)
    vocabulary = mine(split_corpus, 4)
    student = trained_by(split_corpus, str(teacher_folder), vocabulary, steps)
    assert student.record["steps"] == number_of_steps(split_corpus.training, vocabulary, steps)

    def stop(line):
        raise InterruptedError(line)

    with pytest.raises(InterruptedError, match=rf"{student.record['steps']} steps each: "):
        sweep(split_corpus, teacher_folder, tmp_path / "out", OPTIONS, steps, announce=stop)


def test_the_time_of_students_is_that_of_students_with_options_of_a_control(
    split_corpus, teacher_folder, tmp_path
):
    def stop(line):
        raise InterruptedError(line)

    options = replace(STEPS, control=True)
    with pytest.raises(InterruptedError, match="3 steps each: "):
        sweep(split_corpus, teacher_folder, tmp_path / "out", OPTIONS, options, announce=stop)


def test_the_steps_that_are_timed_are_no_run_of_a_tracker(
    split_corpus, teacher_folder, tmp_path, monkeypatch
):
    def timed(_corpus, _model, _vocabulary, options, progress):  # noqa: ARG001
        raise InterruptedError(options.report_to)

    monkeypatch.setitem(package.__globals__, "distill", timed)
    options = SweepOptions((4,), (None,)), replace(STEPS, report_to=("tensorboard",))
    with pytest.raises(InterruptedError) as stopped:
        sweep(split_corpus, teacher_folder, tmp_path / "out", *options, announce=print)
    assert stopped.value.args == ((),)


def test_a_world_is_asked_for_each_student(split_corpus, teacher_folder, tmp_path):
    seen = []

    def solved(student):
        seen.append(len(student.vocabulary))
        return [True, len(student.vocabulary) == 0]

    options = SweepOptions(sizes=(4,), gates=(None,))
    result = sweep(split_corpus, teacher_folder, tmp_path / "out", options, STEPS, success=solved)
    assert seen == [0, 4]
    assert (result.control.success, result.points[0].success) == ((True, True), (True, False))
    assert result.boundary.best is None
    assert result.tolerance == 0.01
    assert picture(result)["data"]["values"][0]["y"] == 0.5


def test_a_folder_gains_success_without_further_training(split_corpus, teacher_folder, tmp_path, trained):
    def solved(student):
        return [True, len(student.vocabulary) < 5]

    arguments, output = (split_corpus, teacher_folder), tmp_path / "out"
    options = SweepOptions(sizes=(4,), gates=(None,))
    first = sweep(*arguments, output, options, STEPS)
    sweep(*arguments, output, replace(options, sizes=(8,)), STEPS)
    trained.clear()
    gained = sweep(*arguments, output, options, STEPS, success=solved)
    assert trained == []
    assert (first.tolerance, gained.tolerance) == (0.05, 0.01)
    assert [point.success for point in gained.points] == [(True, True), (True, False)]
    assert gained.control == replace(first.control, success=(True, True))
    assert gained.points[0] == replace(first.points[0], success=(True, True))
    seen = sweep(*arguments, output, options, STEPS, success=solved)
    assert seen == gained
    with pytest.raises(OptionError, match="a sweep with another success"):
        sweep(*arguments, output, options, STEPS)


def test_a_measurement_is_of_the_student_that_is_there(split_corpus, teacher_folder, tmp_path, trained):
    def solved(_student):
        return [True]

    arguments, output = (split_corpus, teacher_folder), tmp_path / "out"
    options = SweepOptions(sizes=(4,), gates=(None,))
    first = sweep(*arguments, output, options, STEPS)
    assert sweep(*arguments, output, options, STEPS) == first
    longer = replace(STEPS, max_steps=9, learning_rate=3e-3)
    for name, vocabulary in (("control", None), ("none-4", output / "none-4" / "vocabulary")):
        own = replace(longer, control=vocabulary is None)
        trained_by(split_corpus, str(teacher_folder), vocabulary, own, output / name / "student")
    trained.clear()
    second = sweep(*arguments, output, options, STEPS)
    assert trained == []
    for name in ("control", "none-4"):
        (output / f"{name}.json").unlink()
    assert second == sweep(*arguments, output, options, STEPS)  # as if nothing had been measured before
    assert second.control.bits_per_byte < first.control.bits_per_byte
    assert second.points[0].bits_per_byte < first.points[0].bits_per_byte
    shutil.rmtree(output / "none-4" / "student")
    third = sweep(*arguments, output, options, STEPS, success=solved)
    assert trained == ["none-4"]  # its success is another student's than the bits were
    assert third.points[0].bits_per_byte == pytest.approx(first.points[0].bits_per_byte, rel=1e-5)


@pytest.mark.parametrize("side", ["training", "held_out"])
def test_a_side_of_a_split_is_refused_before_anything_is_trained(
    split_corpus, teacher_folder, tmp_path, trained, side
):
    view = getattr(split_corpus, side)
    assert view.own_split is not None
    with pytest.raises(CorpusError, match="a view of selected tasks holds out none of them; give the whole"):
        sweep(view, teacher_folder, tmp_path / "out", OPTIONS, STEPS)
    assert trained == []
    assert not (tmp_path / "out").exists()


def test_what_has_no_meaning_is_refused(split_corpus, teacher_folder, tmp_path, corpus, done):
    with pytest.raises(CorpusError, match="holds out no tasks"):
        sweep(corpus, teacher_folder, tmp_path / "out", OPTIONS, STEPS)
    for wrong in (
        {"sizes": ()},
        {"sizes": (0,)},
        {"gates": ()},
        {"gates": ("p101",)},
        {"tolerance": -1.0},
        {"tolerance": nan},
        {"tolerance": inf},
    ):
        with pytest.raises(OptionError):
            SweepOptions(**wrong)
    (tmp_path / "file").write_text("x")
    with pytest.raises(OptionError, match="already contains something else"):
        sweep(split_corpus, teacher_folder, tmp_path, OPTIONS, STEPS)
    with pytest.raises(OptionError, match="a sweep with another split"):
        sweep(split_corpus.with_split(0.25, 1), teacher_folder, done[0], OPTIONS, STEPS)
    with pytest.raises(OptionError, match="a sweep with another distillation"):
        sweep(split_corpus, teacher_folder, done[0], OPTIONS, replace(STEPS, max_steps=2))
