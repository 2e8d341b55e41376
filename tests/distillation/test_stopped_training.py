"""A training that a signal stops ends after its step, with a checkpoint, and goes on to the same student."""

import signal
import subprocess
import sys

import pytest
import torch

from lar import distill
from lar.distillation import DistillOptions
from lar.distillation.training.held_out import HeldOut
from lar.utils import ending
from testing.few_steps import FEW


def stop_at(step, number=signal.SIGTERM):
    def progress(done, total):  # noqa: ARG001
        if done == step:
            assert ending.ask(number)

    return progress


def mean_loss(record):
    """The mean over all steps, whichever lines of the log they are in."""
    lines = [line for line in record["log"] if "loss" in line]
    before = [0, *(line["step"] for line in lines[:-1])]
    return sum(line["loss"] * (line["step"] - first) for line, first in zip(lines, before, strict=True))


@pytest.mark.parametrize("step", [1, 5, 9])
def test_a_stopped_training_keeps_its_step_and_goes_on_to_the_same_student(
    sides, mined, teacher_folder, tmp_path, step
):
    learnt, held_out = sides
    options = DistillOptions(
        **{**FEW, "logging_steps": 3},
        latent_dropout=0.3,
        max_steps=9,
        save_steps=100,
        gradient_accumulation=2,
        output_start="first",
        evaluate_steps=2,
        patience=9,
    )

    def run(name, **more):
        arguments = learnt, str(teacher_folder), mined, options, tmp_path / name
        return distill(*arguments, held_out=held_out, **more)

    whole = run("whole")
    with pytest.raises(ending.Stopped) as stopped:
        run("stopped", progress=stop_at(step))
    checkpoint = tmp_path / "stopped.checkpoints" / f"checkpoint-{step}"
    assert (stopped.value.number, stopped.value.kept) == (
        signal.SIGTERM,
        f" after step {step}, which is kept in {checkpoint}",
    )
    assert not (tmp_path / "stopped").exists()
    assert not ending.asked()
    assert not ending.ask(signal.SIGTERM)
    seen = []
    resumed = run("stopped", progress=lambda done, _: seen.append(done))
    assert seen == list(range(step + 1, 10))
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name
    evaluated = [[line for line in s.record["log"] if "eval_bits_per_byte" in line] for s in (whole, resumed)]
    assert evaluated[0] == evaluated[1]
    assert mean_loss(resumed.record) == pytest.approx(mean_loss(whole.record), rel=1e-6)


def test_a_signal_in_the_evaluation_that_ends_a_run_loses_no_step(
    sides, mined, teacher_folder, tmp_path, monkeypatch
):
    learnt, held_out = sides
    options = DistillOptions(
        **FEW,
        max_steps=9,
        save_steps=100,
        output_start="first",
        evaluate_steps=1,
        patience=1,
        min_improvement=100.0,  # so that the second evaluation brings no gain
    )
    measure, evaluated = HeldOut.measure, []

    def asking(self, student):
        evaluated.append(student)
        assert len(evaluated) < 2 or ending.ask(signal.SIGTERM)
        return measure(self, student)

    def run(**more):
        arguments = learnt, str(teacher_folder), mined, options, tmp_path / "student"
        return distill(*arguments, held_out=held_out, **more)

    with monkeypatch.context() as patch:
        patch.setattr(HeldOut, "measure", asking)
        with pytest.raises(ending.Stopped) as stopped:
            run()
    checkpoint = tmp_path / "student.checkpoints" / "checkpoint-2"
    assert stopped.value.kept == f" after step 2, which is kept in {checkpoint}"
    seen = []
    resumed = run(progress=lambda done, _: seen.append(done))
    assert seen == []
    assert resumed.record["steps"] == 2
    assert resumed.record["kept"]["stopped_early"]
    assert [line["step"] for line in resumed.record["log"] if "loss" in line] == [2]


def test_without_checkpoints_a_signal_stops_at_once(sides, mined, teacher_folder):
    def stopping(*_):
        assert not ending.ask(signal.SIGTERM)

    distill(sides[0], str(teacher_folder), mined, DistillOptions(**FEW, max_steps=1), progress=stopping)


# Sends the signal after the third step of a training; a lost signal is a failure, not a slow test.
PROGRAM = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # a program in the background ignores it
_, number, *arguments = sys.argv
sys.argv = ["lar", *arguments]
from lar.distillation.training import callbacks
report = callbacks.ProgressCallback.on_step_end
def stopping(self, args, state, control, **keywords):
    report(self, args, state, control, **keywords)
    assert state.global_step <= 3, "not stopped"
    if state.global_step == 3:
        os.kill(os.getpid(), int(number))
        if int(number) == signal.SIGTERM:
            os.kill(os.getpid(), int(number))  # as `timeout` does: to the process, and to its group
callbacks.ProgressCallback.on_step_end = stopping
from lar.__main__ import main
main()
"""


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_command_says_where_it_goes_on_and_does(corpus, mined, teacher_folder, tmp_path, number):
    mined.save(tmp_path / "vocabulary")
    arguments = ["distill", corpus.path, "--model", teacher_folder, "--vocabulary", tmp_path / "vocabulary"]
    arguments += ["--max-steps", "5", "--device", "cpu", "--max-length", "256", "-o", tmp_path / "student"]
    command = [sys.executable, "-c", PROGRAM, int(number), *arguments]
    result = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    assert result.returncode == 128 + number, result
    assert result.stderr.splitlines()[-1] == (
        f"lar: stopped after step 3, which is kept in {tmp_path}/student.checkpoints/checkpoint-3;"
        " run the same command again to continue"
    )
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "student").exists()
    again = [sys.executable, "-m", "lar", *map(str, arguments)]
    result = subprocess.run(again, capture_output=True, text=True, check=True)
    assert "5 steps, 2 of them now, in " in result.stdout
