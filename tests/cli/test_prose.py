"""Sentences on narrow terminals: every word whole, and every line inside the terminal."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lar.cli.prose import print_prose
from lar.trajectories import write_trajectories
from testing import toy

WORDS = st.lists(
    st.sampled_from(["units", "reduction", "27,123,456", "-35.9%", "a", "(seed", "0)"]), min_size=1
)


@settings(max_examples=60)
@given(words=WORDS, columns=st.integers(20, 100), indent=st.sampled_from(["", "    "]))
def test_no_word_is_cut_and_none_is_lost(words, columns, indent):
    with pytest.MonkeyPatch.context() as patch:
        shown = []
        patch.setenv("COLUMNS", str(columns))
        patch.setattr("click.echo", shown.append)
        print_prose(" ".join(words), indent=indent)
    lines = "\n".join(shown).splitlines()
    assert [word for line in lines for word in line.split()] == words
    assert all(len(line) <= columns and line.startswith(indent) for line in lines)


def test_without_a_terminal_a_line_stays_whole(monkeypatch, capsys):
    monkeypatch.delenv("COLUMNS", raising=False)
    print_prose("word " * 60 + "end")
    assert len(capsys.readouterr().out.splitlines()) == 1


@pytest.mark.parametrize("columns", [40, 60, 80])
def test_what_the_commands_print_fits(run, tmp_path, monkeypatch, tokenizer, columns):
    """All but the commands to copy, the help's among them, and the names of files."""
    write_trajectories(toy.trajectories(20), tmp_path / "logs.jsonl")
    tokenizer.save(tmp_path / "model")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", str(columns))
    for command in (
        (),
        ("import", "logs.jsonl", "-o", "t.parquet"),
        ("corpus", "t.parquet", "--tokenizer", "model", "--hold-out", "0.2", "-o", "corpus"),
        ("mine", "corpus", "--size", "12", "-o", "v"),
        ("evaluate", "corpus", "v"),
        ("status",),
    ):
        code, printed, _ = run(*command)
        assert code == 0
        wide = [
            line
            for line in printed.splitlines()
            if len(line) > columns
            and not line.startswith(("Next:", "or:", "then:"))
            and "COMPLETE" not in line
        ]
        assert wide == [], command
        assert "…" not in printed
