"""`lar sweep`: its table, its next step, and what it refuses."""

import json
import sys

import pytest

pytest.importorskip("torch", reason="needs the extra `train`")
pytest.importorskip("transformers", reason="needs the extra `train`")

from lar.cli.sweep import load_function
from lar.corpus import Corpus
from lar.errors import OptionError
from testing import toy

FEW = ("--max-steps", "2", "--max-length", "128", "--fitted-batches", "2", "--device", "cpu")


@pytest.fixture(scope="module")
def folder(tokenizer, tmp_path_factory):
    folder = tmp_path_factory.mktemp("cli-sweep")
    Corpus.build(toy.trajectories(24), tokenizer, folder / "corpus", hold_out=0.25)
    (folder / "world.py").write_text("def solved(student):\n    return [True, len(student.vocabulary) < 5]\n")
    return folder


def test_a_sweep_prints_its_students_and_the_next_step(run, folder, teacher_folder):
    command = ("sweep", folder / "corpus", "--model", teacher_folder, "-o", folder / "sweep", *FEW)
    settings = (
        "--size",
        "4",
        "--size",
        "8",
        "--max-entropy",
        "none",
        "--success",
        f"{folder / 'world.py'}:solved",
    )
    code, out, err = run(*command, *settings)
    assert code == 0, err
    assert "3 of 3 students to train" in err
    for word in ("control", "none-4", "none-8", "success", "The setting to take: 4 latents, no gate"):
        assert word in out
    assert "result.json, sweep.png, sweep.svg" in out
    assert f"Next: lar export {folder / 'sweep' / 'none-4' / 'student'}" in err
    _, out, _ = run(*command, *settings, "--json")
    assert json.loads(out)["recommended"] == "none-4"
    assert json.loads(out)["collapse"] == "none-8"


def test_the_table_names_settings_with_one_student(run, folder, teacher_folder):
    command = ("sweep", folder / "corpus", "--model", teacher_folder, "-o", folder / "shared", *FEW)
    code, out, err = run(*command, "--size", "64", "--size", "256", "--max-entropy", "none")
    assert code == 0, err
    assert "none-256 (= none-64)" in out
    assert "none-256: the same latents as none-64, so one student." in " ".join(out.split())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("world.py", "give FILE.py:FUNCTION"),
        ("absent.py:solved", "a Python file that exists"),
        ("{folder}/world.py:unknown", "has no attribute 'unknown'"),
        ("{folder}/broken.py:solved", "ZeroDivisionError"),
        ("{folder}/number.py:solved", "solved is no function"),
        ("{folder}/leaves.py:solved", "SystemExit: 3"),
    ],
)
def test_a_function_that_is_not_there_is_one_line(folder, text, message):
    (folder / "broken.py").write_text("1 / 0\n")
    (folder / "number.py").write_text("solved = 1\n")
    (folder / "leaves.py").write_text("import sys\n\nsys.exit(3)\n")
    with pytest.raises(OptionError, match=message) as caught:
        load_function(text.format(folder=folder))
    assert "\n" not in str(caught.value)


def test_a_world_is_loaded_as_a_program_is(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "tasks_of_mine.py").write_text("TASKS = 2\n")
    (tmp_path / "more_of_mine.py").write_text("MORE = 1\n")
    (tmp_path / "json.py").write_text(
        "from __future__ import annotations\n\nfrom dataclasses import dataclass\n\n"
        "from tasks_of_mine import TASKS\n\n\n@dataclass\nclass Task:\n    number: int\n\n\n"
        "def solved(student):\n    from more_of_mine import MORE\n\n"
        "    return [Task(n).number > 0 for n in range(TASKS + MORE)]\n"
    )
    monkeypatch.chdir(tmp_path)
    assert load_function("json.py:solved")(None) == [False, True, True]
    assert sys.modules["json"] is json
    assert str(tmp_path) not in sys.path[:-1]
