"""How benches end: one line and exit code 2 for bad input, and help with each default."""

import argparse
import subprocess
import sys
from pathlib import Path

import pytest

from benches import entry
from lar.errors import OptionError


def ended(main, capsys):
    """The exit code of a bench, and what it wrote to standard error."""
    with pytest.raises(SystemExit) as end:
        entry.run(main)
    return end.value.code, capsys.readouterr().err


def raising(error):
    def main():
        raise error

    return main


@pytest.mark.parametrize(
    "error",
    [
        OptionError("what is\nwrong"),
        SystemExit("what is wrong"),
        OSError("what is wrong"),
        subprocess.SubprocessError("what is wrong"),
        pytest.fail.Exception("what is wrong"),
    ],
)
def test_bad_input_ends_with_one_line(error, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["folder/bench.py"])
    assert ended(raising(error), capsys) == (2, "bench: error: what is wrong\n")


def test_other_ends_keep_their_code(capsys):
    assert ended(lambda: None, capsys)[0] is None
    assert ended(lambda: 3, capsys) == (3, "")
    assert ended(raising(SystemExit(1)), capsys) == (1, "")
    code, line = ended(raising(KeyboardInterrupt()), capsys)
    assert code == 130
    assert line.endswith(": stopped\n")
    with pytest.raises(ZeroDivisionError):
        entry.run(lambda: 1 // 0)


def test_a_bench_run_as_a_command_ends_with_one_line(tmp_path):
    command = [sys.executable, "-m", "benches.mining.update", "--corpus", tmp_path, "-o", tmp_path / "x.json"]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2])
    assert ran.returncode == 2
    assert ran.stderr.startswith(f"update: error: {tmp_path}: ")
    assert ran.stderr.count("\n") == 1


def test_help_gives_the_defaults_there_are():
    parser = entry.parser("First line\n  second line")
    parser.add_argument("--none", help="no value")
    parser.add_argument("--flag", action="store_true", help="a flag")
    parser.add_argument("--zero", type=int, default=0, help="a number")
    parser.add_argument("--several", nargs="+", default=[1, "10%"], help="values")
    parser.add_argument("--told", default=1, help="told (default: one)")
    parser.add_argument("--needed", required=True, help="needed")
    text = parser.format_help()
    assert "First line\n  second line\n" in text
    assert "a number (default: 0)" in text
    assert "values (default: 1 10%)" in text
    assert text.count("default") == 3


@pytest.mark.parametrize(("kind", "least"), [(entry.positive, 1), (entry.at_least_zero, 0)])
def test_numbers_of_things_have_a_least(kind, least):
    assert kind(str(least)) == least
    with pytest.raises(argparse.ArgumentTypeError, match=f"must be {least} or more, not {least - 1}"):
        kind(str(least - 1))


def test_options_become_json():
    options = argparse.Namespace(path=Path("a"), several=[Path("b")], number=1, none=None)
    assert entry.as_json(options) == {"path": "a", "several": ["b"], "number": 1, "none": None}
