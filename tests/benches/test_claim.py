"""Folders of results: they take no results of other settings."""

import sys

import pytest

from benches.claim import claim
from lar.errors import OptionError


def test_a_folder_takes_results_of_the_same_settings_alone(tmp_path):
    settings = {"steps": 3, "distill": {"loss": "sft", "rate": 1e-3}, "sizes": (1, 2)}
    claim(tmp_path / "results", settings)
    claim(tmp_path / "results", settings)
    other = {**settings, "steps": 4, "distill": {"loss": "sft", "rate": 2e-3}}
    with pytest.raises(OptionError, match=r"\(steps was 3, is 4, distill\.rate was 0\.001, is 0\.002\)"):
        claim(tmp_path / "results", other)


def test_pretrained_names_the_option_that_differs(tmp_path, monkeypatch):
    pytest.importorskip("torch", reason="the bench needs the extra `train`")
    from benches.training import pretrained

    done = []

    def stage(options):
        done.append(options)

    for name in ("adapt", "score", "mine", "arms", "table"):
        monkeypatch.setattr(pretrained, name, stage)

    def run(more):
        arguments = f"pretrained.py --model model --trajectories logs.jsonl -o {tmp_path} {more}"
        monkeypatch.setattr(sys, "argv", arguments.split())
        pretrained.main()

    run("--steps 7")
    run("--steps 7 --arms control:sft --gates p50 --device cpu --save-steps 2")
    assert len(done) == 10
    with pytest.raises(OptionError, match=r"\(size was 256, is 64, steps was 7, is 8\)"):
        run("--steps 8 --size 64")
    assert len(done) == 10
