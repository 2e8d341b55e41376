"""`lar sweep`: its table, its next step, and what it refuses."""

import json

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
    ],
)
def test_a_function_that_is_not_there_is_one_line(folder, text, message):
    (folder / "broken.py").write_text("1 / 0\n")
    (folder / "number.py").write_text("solved = 1\n")
    with pytest.raises(OptionError, match=message) as caught:
        load_function(text.format(folder=folder))
    assert "\n" not in str(caught.value)
