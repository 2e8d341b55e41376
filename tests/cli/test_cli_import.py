"""`lar import` as a person or a script calls it."""

import json
import logging
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from lar.cli import main
from lar.trajectories import read_trajectories, write_trajectories
from lar.trajectories.inputs import remote
from testing import toy


def lar(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    """Run the command line and return its exit code."""
    monkeypatch.setattr(sys, "argv", ["lar", *map(str, arguments)])
    with pytest.raises(SystemExit) as caught:
        main()
    code = caught.value.code
    return code if isinstance(code, int) else int(code is not None)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "log.jsonl"
    records = [
        {
            "messages": [{"role": "user", "content": said}, {"role": "assistant", "content": "ok"}],
            "success": won,
        }
        for said, won in [("a", True), ("a", False), ("b", None)]
    ]
    path.write_text("".join(json.dumps(record) + "\n" for record in records) + "{broken\n")
    return path


def test_a_log_becomes_parquet_and_a_summary(
    log: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    output = log.parent / "out" / "t.parquet"
    assert lar(monkeypatch, "import", log, "-o", output) == 0
    assert len(list(read_trajectories(output, strict=True))) == 3
    shown = capsys.readouterr()
    words = dict(line.rsplit(None, 1) for line in shown.out.splitlines() if len(line.split()) > 1)
    numbers = {name.strip(): value for name, value in words.items()}
    assert numbers["trajectories"] == "3"
    assert numbers["tasks"] == "2"
    assert numbers["messages"] == "6"
    assert numbers["bad records"] == "1"
    assert f"{log}, record 4, line 4: not JSON" in shown.err


def test_a_file_whose_name_is_no_utf8_is_read_and_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_trajectories(toy.trajectories(3), tmp_path / "own.jsonl")
    named = tmp_path / os.fsdecode(b"log\xff.jsonl")
    try:
        (tmp_path / "own.jsonl").rename(named)
    except OSError:
        pytest.skip("this file system takes names in UTF-8 only")
    with named.open("a") as file:
        file.write("{broken\n")
    output = tmp_path / "out.parquet"
    # Workers of pytest-xdist cannot send what pytest would record of this name.
    monkeypatch.setattr(logging.getLogger("lar"), "propagate", False)
    assert lar(monkeypatch, "import", named, "-o", output, "--json") == 0
    shown = capsys.readouterr()
    assert json.loads(shown.out)["trajectories"] == 3
    assert "\\udcff.jsonl, record 4" in shown.out
    assert [line[:14] for line in shown.err.splitlines()] == ["lar: warning: "]
    assert [one.task for one in read_trajectories(output, strict=True)] == [
        one.task for one in toy.trajectories(3)
    ]
    assert lar(monkeypatch, "import", named, "-o", tmp_path / os.fsdecode(b"out\xff.parquet")) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert "not valid UTF-8; choose another output" in line


def test_json_for_machines(
    log: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    again = log.parent / "again" / "log.jsonl"
    again.parent.mkdir()
    again.write_bytes(log.read_bytes())
    # The folder holds the log too: each file is read once.
    assert lar(monkeypatch, "import", log, log.parent, "-o", log.parent / "t.jsonl.gz", "--json") == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["trajectories"] == 6
    assert (summary["succeeded"], summary["failed"], summary["unknown"]) == (2, 2, 2)
    assert summary["bad_records"] == len(summary["problems"]) == 2


TALK = '{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}\n'


@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        ("{broken\n", [], "no trajectory could be read"),
        ("", [], "the file is empty"),
        (TALK + "{broken\n", ["--strict"], "record 2, line 2"),
        (TALK, ["--task-key", "x.y"], "task key 'x.y'"),
        (TALK, ["--format", "xml"], "xml"),
        (None, [], "no such file or folder"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2_and_writes_nothing(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    content: str | None,
    options: list[str],
    message: str,
) -> None:
    path = tmp_path / "log.jsonl"
    if content is not None:
        path.write_text(content)
    assert lar(monkeypatch, "import", path, "-o", tmp_path / "t.parquet", *options) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert message in shown.err
    assert len(shown.err.splitlines()) == 1
    assert [item.name for item in tmp_path.iterdir()] == ([] if content is None else ["log.jsonl"])


def test_the_output_is_checked(
    log: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = log.read_bytes()
    assert lar(monkeypatch, "import", log, "-o", log) == 2
    assert "both an input and the output" in capsys.readouterr().err
    assert log.read_bytes() == before
    output = log.parent / "t.jsonl"
    assert lar(monkeypatch, "import", log.parent, "-o", output) == 0
    written = output.read_bytes()
    capsys.readouterr()
    assert lar(monkeypatch, "import", log.parent, "-o", output) == 2  # it would hold everything twice
    assert "both an input and the output" in capsys.readouterr().err
    assert output.read_bytes() == written
    assert lar(monkeypatch, "import", log, "-o", log.parent / "t.csv") == 2
    assert ".parquet, .jsonl or .jsonl.gz" in capsys.readouterr().err


def test_help_has_an_example(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert lar(monkeypatch, "import", "--help") == 0
    assert "lar import logs/ -o trajectories.parquet" in capsys.readouterr().out


def test_logs_may_be_urls(
    log: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    output = log.parent / "t.parquet"
    assert lar(monkeypatch, "import", f"file://{log}", "-o", output, "--json") == 0
    assert json.loads(capsys.readouterr().out)["trajectories"] == 3
    assert lar(monkeypatch, "import", "memory://nowhere", "-o", log.parent / "none.parquet") == 2
    assert capsys.readouterr().err == "lar: error: memory://nowhere: no such file or folder\n"


def test_a_url_is_listed_once_also_where_the_output_is_there(
    log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed: list[str] = []
    list_files = remote.list_files
    monkeypatch.setattr(remote, "list_files", lambda url: listed.append(url) or list_files(url))
    output = log.parent / "t.parquet"
    for options in ((), ("--overwrite",)):
        assert lar(monkeypatch, "import", f"file://{log}", "-o", output, *options) == 0
    assert len(listed) == 2


def test_a_log_whose_url_is_the_output_is_not_replaced(
    log: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = log.read_bytes()
    assert lar(monkeypatch, "import", f"file://{log}", "-o", log, "--overwrite") == 2
    assert "is both an input and the output" in capsys.readouterr().err
    assert log.read_bytes() == before


def test_standard_input_and_patterns(
    log: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    output = log.parent / "t.parquet"
    with log.open() as file:
        monkeypatch.setattr(sys, "stdin", file)
        assert lar(monkeypatch, "import", "-", "-o", output, "--json") == 0
    assert json.loads(capsys.readouterr().out)["trajectories"] == 3
    assert {trajectory.source for trajectory in read_trajectories(output)} == {"stdin"}
    assert lar(monkeypatch, "import", log.parent / "*.jsonl", "-o", output, "--overwrite", "--json") == 0
    assert json.loads(capsys.readouterr().out)["trajectories"] == 3


def test_a_success_key_for_import_and_corpus(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    run: Any,
    vocabulary: Any,
) -> None:
    monkeypatch.chdir(tmp_path)
    vocabulary.tokenizer.save("model")
    messages = [{"role": "user", "content": "Count."}, {"role": "assistant", "content": "Twelve."}]
    records = [{"messages": messages, "score": score} for score in (1.0, 0.0, None)]
    Path("log.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    code, out, _ = run("import", "log.jsonl", "-o", "a.jsonl", "--success-key", "score", "--json")
    found = json.loads(out)
    assert (code, found["succeeded"], found["failed"], found["unknown"]) == (0, 1, 1, 1)
    run("import", "log.jsonl", "-o", "b.jsonl", "--success-key", "scores")
    assert "no record has an outcome at the success key 'scores'" in caplog.messages
    scored = [{"messages": messages, "judge": {"note": {"score": "many"}, "score": one}} for one in (1, "x")]
    Path("deep.jsonl").write_text("".join(json.dumps(record) + "\n" for record in scored))
    run("import", "deep.jsonl", "-o", "c.jsonl", "--success-key", "score")
    hint = "no record has an outcome at the success key 'score' (there is one at 'judge.score')"
    assert hint in caplog.messages
    corpus = ("corpus", "log.jsonl", "--tokenizer", "model", "--only-succeeded", "--json", "-o")
    code, out, _ = run(*corpus, "corpus", "--success-key", "score")
    assert (code, json.loads(out)["trajectories"]) == (0, 1)
    code, _, err = run(*corpus, "none")
    assert code == 2
    assert "--success-key names the field of a log that has it" in " ".join(err.split())
