"""A vocabulary without latents is no result: the command stops, writes nothing, and names what helps."""

import numpy as np
import pytest

from lar.mining.engine_gates.static import STATIC_GATES
from lar.trajectories import write_trajectories
from testing import toy


@pytest.fixture(scope="module")
def corpus_folder(corpus):
    return corpus.path


@pytest.mark.parametrize(
    ("options", "cure"),
    [
        (("--min-count", "1000000"), "--min-count"),
        (("--min-support", "61"), "61 tasks"),
        (("--max-entropy", "0", "--min-count", "1000000"), "--max-entropy"),
    ],
)
def test_the_option_that_leaves_nothing_is_named(run, corpus_folder, tmp_path, options, cure):
    code, printed, shown = run("mine", corpus_folder, *options, "-o", tmp_path / "vocabulary")
    assert (code, printed) == (2, "")
    assert cure in " ".join(shown.split())
    assert not (tmp_path / "vocabulary").exists()


def test_the_gate_that_drops_the_last_is_named(run, corpus_folder, tmp_path, monkeypatch):
    monkeypatch.setitem(STATIC_GATES, "token", lambda texts, _: np.zeros(len(texts), dtype=np.bool_))
    code, _, shown = run("mine", corpus_folder, "--gates", "token", "-o", tmp_path / "vocabulary")
    assert code == 2
    assert "gate token" in " ".join(shown.split())
    assert "--gates none" in " ".join(shown.split())


def test_one_run_is_one_task(run, tmp_path, tokenizer):
    write_trajectories(toy.trajectories(1), tmp_path / "logs.jsonl")
    tokenizer.save(tmp_path / "model")
    code, _, shown = run(
        "mine", tmp_path / "logs.jsonl", "--tokenizer", tmp_path / "model", "-o", tmp_path / "v"
    )
    assert code == 2
    assert "--task-key" in shown
