"""Every option has a sentence of help, and every command an example."""

import re

import click
import numpy as np
import pytest
from click.testing import CliRunner

from lar.cli import COMMANDS, group, main


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_is_explained_in_a_sentence(name):
    command = group.get_command(click.Context(group), name)
    options = [parameter for parameter in command.params if isinstance(parameter, click.Option)]
    assert {"verbose", "quiet", "as_json"} <= {option.name for option in options}
    for option in options:
        text = re.sub(r"  \[default: [^\]]*\]$", "", option.help or "")
        assert text.endswith("."), (option.name, option.help)
        assert text[0].isupper(), (option.name, option.help)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_an_example(name):
    shown = CliRunner().invoke(group, [name, "--help"])
    assert shown.exit_code == 0
    assert re.search(rf"Examples?:\n +lar {name}\b", shown.output)


def test_the_titles_of_formats_stand_below_each_other():
    shown = CliRunner().invoke(group, ["import", "--help"]).output
    rows = re.search(r"(?s)Formats:\n(.*?)\n\n", shown)[1].splitlines()
    assert len(rows) > 50
    starts = {re.match(r" +\S+ +", row).end() for row in rows}
    assert len(starts) == 1


def called(monkeypatch, capsys, *arguments):
    monkeypatch.setattr("sys.argv", ["lar", *arguments])
    with pytest.raises(SystemExit) as done:
        main()
    return done.value.code, capsys.readouterr()


def test_without_a_command_there_is_the_help(monkeypatch, capsys):
    code, printed = called(monkeypatch, capsys)
    assert not code
    assert printed.out.startswith("Usage: ")
    assert "\n  evaluate " in printed.out


def test_a_misspelled_command_names_the_nearest(monkeypatch, capsys):
    code, printed = called(monkeypatch, capsys, "imprt")
    assert code == 2
    assert printed.err == "lar: error: no command 'imprt'; did you mean 'import'?\n"
    assert called(monkeypatch, capsys, "zzz")[1].err == "lar: error: No such command 'zzz'.\n"


def test_an_array_of_two_dimensions_is_refused_in_a_line(vocabulary, tmp_path, monkeypatch, capsys):
    vocabulary.save(tmp_path / "v")
    np.save(tmp_path / "ids.npy", np.zeros((2, 3), dtype=np.uint32))
    arguments = [str(tmp_path / name) for name in ("v", "ids.npy")]
    code, printed = called(monkeypatch, capsys, "encode", *arguments, "-o", str(tmp_path / "out.npy"))
    assert code == 2
    assert printed.err.startswith(f"lar: error: {tmp_path / 'ids.npy'}: ids must be a list")
    assert printed.err.count("\n") == 1
