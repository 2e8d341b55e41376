"""Fifty runs that begin with one message have one task, and nothing recurs in several: the cure is named."""

import json
import sys

import pytest

from lar.cli import main
from lar.corpus import Corpus
from testing.chat_templates import TEMPLATES, without_tags
from testing.conversations import agent, tokenizer_with, user

WARNING = "all 50 trajectories share one task"
CURE = "use --task-key"


@pytest.fixture
def folder(tmp_path):
    tokenizer_with(without_tags(TEMPLATES["mistral"])).save(tmp_path / "model")
    with (tmp_path / "logs.jsonl").open("w") as file:
        for number in range(50):
            messages = [user("Go on."), agent("done " * 9), user(f"And {number}?"), agent("done " * 9)]
            print(json.dumps({"issue": {"number": number}, "messages": messages}), file=file)
    return tmp_path


@pytest.fixture
def run(monkeypatch, capsys, folder):
    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["lar", *map(str, arguments)])
        monkeypatch.setenv("COLUMNS", "400")
        monkeypatch.chdir(folder)
        with pytest.raises(SystemExit) as end:
            main()
        return end.value.code or 0, " ".join(capsys.readouterr().err.split())

    return call


def test_import_warns(run):
    code, shown = run("import", "logs.jsonl", "-o", "out.jsonl")
    assert code == 0
    assert WARNING in shown
    assert CURE in shown
    code, shown = run("import", "logs.jsonl", "-o", "cured.jsonl", "--task-key", "issue.number")
    assert code == 0
    assert WARNING not in shown


def test_a_corpus_and_mining_warn_and_take_the_cure(run, folder):
    code, shown = run("corpus", "logs.jsonl", "--tokenizer", "model", "-o", "corpus")
    assert code == 0
    assert WARNING in shown
    assert CURE in shown
    code, shown = run("mine", "corpus", "-o", "vocabulary")
    assert code == 2
    assert "lar corpus --task-key" in shown
    assert "--min-support 1" in shown
    code, shown = run("mine", "corpus", "-o", "vocabulary", "--hold-out", "0.5")
    assert code == 2
    assert "--task-key" in shown
    assert not (folder / "vocabulary").exists()
    assert run("mine", "corpus", "-o", "vocabulary", "--min-support", "1")[0] == 0
    cured = ("corpus", "logs.jsonl", "--tokenizer", "model", "-o", "cured", "--task-key", "issue.number")
    assert WARNING not in run(*cured)[1]
    assert len(Corpus.load(folder / "cured").tasks) == 50
