"""The commands score, adapt and distill, and what they say without torch."""

import json
import sys

import numpy as np
import pytest
import tiny
import toy

from lar import cli
from lar.corpus import Corpus
from lar.distillation import Student
from lar.vocabulary import LatentVocabulary

STEPS = ["--max-steps", "2", "--max-length", "200", "--device", "cpu"]


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    with tiny.one_thread():
        yield


@pytest.fixture
def run(monkeypatch, capsys):
    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["lar", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            cli.main()
        out = capsys.readouterr()
        return end.value.code or 0, out.out, out.err

    return call


@pytest.fixture
def folders(tmp_path, tokenizer, vocabulary):
    Corpus.build(toy.trajectories(8), tokenizer, tmp_path / "corpus")
    vocabulary.save(tmp_path / "vocabulary")
    tokenizer.save(tmp_path / "model")
    tiny.model(tokenizer.base_size).save_pretrained(tmp_path / "model")
    return tmp_path


def test_the_whole_way(run, folders):
    corpus, model, vocabulary = folders / "corpus", folders / "model", folders / "vocabulary"
    code, out, err = run("adapt", corpus, "--model", model, "-o", folders / "teacher", *STEPS, "--json")
    assert code == 0, err
    assert json.loads(out)["options"]["max_steps"] == 2
    code, out, err = run("score", corpus, "--model", folders / "teacher", "--json")
    assert code == 0, err
    spoken = [
        shard.action & ~np.isin(shard.tokens, Corpus.load(corpus).tokenizer.barriers)
        for shard in Corpus.load(corpus).shards()
    ]
    assert json.loads(out)["tokens"] == sum(int(part.sum()) for part in spoken)
    common = ["distill", corpus, "--model", folders / "teacher", *STEPS]
    code, out, err = run(*common, "--vocabulary", vocabulary, "-o", folders / "student", "--json")
    assert code == 0, err
    assert json.loads(out)["steps"] == 2
    code, _, err = run(*common, "--control", "-o", folders / "control", "--loss", "sft")
    assert code == 0, err
    student = Student.load(folders / "student", str(folders / "teacher"))
    assert student.vocabulary.latents == LatentVocabulary.load(vocabulary).latents
    assert Student.load(folders / "control", str(folders / "teacher")).rows is None


def test_score_prints_the_distribution(run, folders):
    code, out, err = run("score", folders / "corpus", "--model", folders / "model")
    assert code == 0, err
    assert "p50" in out
    assert "0.05" in out


@pytest.mark.parametrize("command", ["score", "adapt", "distill"])
def test_help_shows_an_example(run, command):
    code, out, _ = run(command, "--help")
    assert code == 0
    assert f"lar {command} corpus/" in out


@pytest.mark.parametrize("command", ["score", "adapt", "distill"])
def test_a_missing_extra_is_one_clear_line(run, folders, monkeypatch, command):
    find = cli.importlib.util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "peft" else find(name))
    output = [] if command == "score" else ["-o", folders / "out"]
    code, _, err = run(command, folders / "corpus", "--model", folders / "model", *output)
    assert code == 2
    assert "pip install 'lar[train]'" in err
    assert len(err.splitlines()) == 1


def test_mistakes_are_one_clear_line_and_leave_nothing(run, folders, tokenizer):
    tiny.model(tokenizer.base_size + 8).save_pretrained(folders / "wide")
    corpus, output = folders / "corpus", folders / "out"
    common = ["distill", corpus, "-o", output, *STEPS]
    cases = [
        [*common, "--model", folders / "model"],
        [*common, "--model", folders / "wide", "--vocabulary", folders / "vocabulary"],
        [*common, "--model", folders / "corpus", "--vocabulary", folders / "vocabulary"],
        [*common, "--model", folders / "model", "--control", "--learning-rate", "0"],
        ["score", corpus, "--model", folders / "wide"],
        ["score", folders / "model", "--model", folders / "model"],
    ]
    for case in cases:
        code, _, err = run(*case)
        assert code == 2, err
        assert len(err.splitlines()) == 1, err
        assert not output.exists()
