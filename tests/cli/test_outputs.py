"""One rule for all outputs: what is there stays, unless --overwrite replaces a result of the same kind."""

import os

import pytest

from lar.trajectories import write_trajectories
from testing import toy


@pytest.fixture
def folder(tmp_path, tokenizer, vocabulary):
    write_trajectories(toy.trajectories(12), tmp_path / "logs.jsonl")
    tokenizer.save(tmp_path / "model")
    vocabulary.save(tmp_path / "vocabulary")
    (tmp_path / "ids.jsonl").write_text("[1, 2]\n")
    (tmp_path / "units.jsonl").write_text("[1]\n")
    (tmp_path / "lines.txt").write_text("kept\n")
    return tmp_path


COMMANDS = {
    "import": ("import", "logs.jsonl", "-o", "out.jsonl"),
    "mine": ("mine", "logs.jsonl", "--tokenizer", "model", "-o", "out"),
    "encode": ("encode", "vocabulary", "ids.jsonl", "-o", "out.jsonl"),
    "expand": ("expand", "vocabulary", "units.jsonl", "--text", "-o", "out.txt"),
}


def content(path):
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    return {str(file): file.read_bytes() for file in files if file.is_file()}


@pytest.mark.parametrize("name", COMMANDS)
def test_a_result_that_is_there_stays_without_overwrite(run, folder, monkeypatch, name):
    monkeypatch.chdir(folder)
    command = COMMANDS[name]
    output = folder / command[-1]
    assert run(*command)[0] == 0
    before, marks = content(output), [path.stat().st_ino for path in (output, *output.rglob("*"))]
    code, printed, shown = run(*command)
    assert (code, printed) == (2, "")
    assert "is there already" in shown
    assert "--overwrite" in shown
    assert content(output) == before
    assert run(*command, "--overwrite")[0] == 0
    assert content(output).keys() == before.keys()
    assert [path.stat().st_ino for path in (output, *output.rglob("*"))] != marks


@pytest.mark.parametrize("name", COMMANDS)
def test_nothing_else_is_replaced_even_with_overwrite(run, folder, monkeypatch, name):
    monkeypatch.chdir(folder)
    output = folder / COMMANDS[name][-1]
    output.mkdir()
    (output / "other").write_text("kept")
    code, printed, _ = run(*COMMANDS[name], "--overwrite")
    assert (code, printed) == (2, "")
    assert content(output) == {str(output / "other"): b"kept"}


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no named pipes")
@pytest.mark.parametrize("name", ["import", "encode", "expand"])
def test_a_pipe_is_not_replaced_by_a_file(run, folder, monkeypatch, name):
    monkeypatch.chdir(folder)
    output = folder / COMMANDS[name][-1]
    os.mkfifo(output)
    code, printed, shown = run(*COMMANDS[name], "--overwrite")
    assert (code, printed) == (2, "")
    assert "a pipe or a device, which no file may replace" in shown
    assert output.is_fifo()


def test_an_input_is_no_output(run, folder, monkeypatch):
    monkeypatch.chdir(folder)
    for command in (("import", "logs.jsonl"), ("encode", "vocabulary", "ids.jsonl")):
        before = content(folder / command[-1])
        code, _, shown = run(*command, "-o", command[-1], "--overwrite")
        assert code == 2
        assert "both" in shown
        assert content(folder / command[-1]) == before


@pytest.mark.parametrize("command", ["distill", "adapt", "export"])
def test_hours_of_work_are_not_replaced(run, folder, corpus, command):
    from lar.utils.result_files import ADAPTATION_FILE, EXPORT_FILE, STUDENT_FILE

    holds = {"distill": STUDENT_FILE, "adapt": ADAPTATION_FILE, "export": EXPORT_FILE}[command]
    (folder / "out").mkdir()
    (folder / "out" / holds).write_text("{}")
    given = {
        "distill": (corpus.path, "--model", folder / "model", "--control"),
        "adapt": (corpus.path, "--model", folder / "model"),
        "export": (folder / "vocabulary",),
    }
    code, _, shown = run(command, *given[command], "-o", folder / "out")
    assert code == 2
    assert "--overwrite" in shown
