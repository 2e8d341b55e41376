"""Tables and bars on narrow terminals: no figure and no heading is cut."""

import re

import pytest
from rich.table import Table
from rich.text import Text

from lar.cli.common import Bar, _columns, _short
from lar.cli.reading import ReadingBar
from lar.cli.tables import print_table
from lar.trajectories import Report, read_trajectories, write_trajectories
from lar.utils.progress import Passes
from testing import toy


def table():
    made = Table(title="A title", title_justify="left")
    for name in ("text", "base tokens", "reduction", "prompt uses"):
        made.add_column(name, justify="left" if name == "text" else "right")
    made.add_row(
        "'[arguments]' :smile: [/INST] and more text than a column has room for",
        "27,123,456",
        "35.9%",
        "1,234",
    )
    return made


@pytest.mark.parametrize("columns", [40, 60, 100])
def test_no_figure_and_no_heading_is_cut(columns, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", str(columns))
    print_table(table())
    shown = capsys.readouterr().out
    for whole in ("A title", "base tokens", "reduction", "prompt uses", "27,123,456", "35.9%", "1,234"):
        assert whole in shown
    assert "…" not in shown
    upright = "base tokens  27,123,456" in shown
    assert upright == (columns < 70)
    assert "'[arguments]'" in shown
    assert ":smile:" in shown
    assert "[/INST]" in shown


def test_markup_is_opt_in(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "80")
    made = Table(title="[bold]", title_justify="left")
    made.add_column("[/b]")
    made.add_row(Text.from_markup("[bold]strong[/bold]"))
    made.add_row("[bold]plain[/bold]")
    print_table(made)
    shown = capsys.readouterr().out
    for whole in ("[bold] ", "[/b]", "[bold]plain[/bold]", "strong"):
        assert whole in shown
    assert "[bold]strong" not in shown


def test_a_table_that_no_terminal_shows_is_as_wide_as_it_needs(monkeypatch, capsys):
    monkeypatch.delenv("COLUMNS", raising=False)
    wide = Table()
    for number in range(20):
        wide.add_column(f"heading {number}", justify="right")
    wide.add_row(*map(str, range(20)))
    print_table(wide)
    assert "heading 19" in capsys.readouterr().out.splitlines()[1]


def test_narrow_bars_have_fewer_columns():
    assert len(_columns(60)) < len(_columns(80))


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0"), (9_999, "9,999"), (10_000, "10k"), (999_600, "1.0M"), (5_953_380, "6.0M"), (10**12, "1.0T")],
)
def test_numbers_of_a_bar_are_short(number, text):
    assert _short(number) == text


def test_passes_are_one_fraction_that_ends_whole():
    class Watching(list):
        def __call__(self, done, total):
            self.append(done / total)

        def note(self, text):
            notes.append(text)

    notes, seen = [], Watching()
    passes = Passes(seen, 2, 10)
    for name in ("a", "b", "c"):
        passes.note(name)
        passes(5, 10)
    passes.end()
    assert notes == ["a (1 of 2)", "b (2 of 2)", "c (3 of 3)"]
    assert seen[-1] == 1.0
    assert max(seen) <= 1


class Watched(Bar):
    """A bar whose phases and reports can be looked at."""

    def __init__(self):
        self.phases, self.reports = [], []

    def phase(self, label, unit):
        self.phases.append((label, unit))

    def __call__(self, done, total):
        self.reports.append((done, total))

    def note(self, text):
        pass


def read_with(bar, path):
    report = Report()
    reading = ReadingBar(bar, [path], report)
    for number, _ in enumerate(read_trajectories([path], report=report, progress=reading.read), start=1):
        reading.built(number, None)


def test_the_number_of_trajectories_is_known_of_parquet_and_counted_in_logs(tmp_path):
    write_trajectories(toy.trajectories(70), tmp_path / "t.parquet")
    bar = Watched()
    read_with(bar, tmp_path / "t.parquet")
    assert bar.phases[-1] == ("tokenizing", "trajectories")
    assert bar.reports == [(number, 70) for number in range(1, 71)]
    lines = '{"messages": [{"role": "user", "content": "%d"}, {"role": "assistant", "content": "yes"}]}\n'
    (tmp_path / "logs.jsonl").write_text("".join(lines % number for number in range(70)))
    bar = Watched()
    read_with(bar, tmp_path / "logs.jsonl")
    assert [label for label, _ in bar.phases][-2:] == ["reading", "tokenizing"]
    size = (tmp_path / "logs.jsonl").stat().st_size
    assert (size, size) in bar.reports
    assert bar.reports[-1] == (70, 70)


def test_the_commands_fit_forty_columns(run, monkeypatch, tmp_path, tokenizer):
    monkeypatch.setenv("COLUMNS", "40")
    write_trajectories(toy.trajectories(24), tmp_path / "logs.jsonl")
    tokenizer.save(tmp_path / "model")
    common = ("--tokenizer", tmp_path / "model", "--hold-out", "0.2", "-o")
    for command in (
        ("import", tmp_path / "logs.jsonl", "-o", tmp_path / "t.parquet"),
        ("corpus", tmp_path / "t.parquet", *common, tmp_path / "corpus"),
        ("mine", tmp_path / "corpus", "--size", "8", "-o", tmp_path / "vocabulary"),
        ("evaluate", tmp_path / "corpus", tmp_path / "vocabulary"),
        ("estimate", tmp_path / "corpus", "--size", "8", "--splits", "2"),
    ):
        code, out, err = run(*command)
        assert code == 0, err
        assert "…" not in out
        if command[0] == "evaluate":
            assert re.search(r"^base tokens +[\d,]+$", out, re.MULTILINE)
