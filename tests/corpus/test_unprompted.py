"""A corpus counts the turns that stand behind other text than a prompt ends with."""

import logging

import pytest

from lar.corpus import Corpus
from lar.trajectories.schema import Trajectory
from testing.conversations import agent, user
from testing.lossy_templates import LOSSY
from testing.prompting_templates import PROMPTING


def runs(number: int = 40) -> list[Trajectory]:
    """Every second run reasons in its only turn."""
    return [
        Trajectory(
            f"r{n}", f"t{n}", [user("go"), agent("1", **({"reasoning_content": "So."} if n % 2 else {}))]
        )
        for n in range(number)
    ]


def test_they_are_counted_and_named(caplog):
    with caplog.at_level(logging.WARNING, "lar"):
        corpus = Corpus.build(runs(), PROMPTING["no empty thought"])
    assert corpus.manifest.unprompted == 20
    assert corpus.manifest.first_unprompted == "trajectory r0, agent turn 1"
    (warning,) = [record.getMessage() for record in caplog.records]
    assert warning.startswith("20 of the agent's turns stand behind other text than a prompt")
    assert warning.endswith("the first: trajectory r0, agent turn 1")


@pytest.mark.parametrize("template", ["open thought", "own thought"])
def test_turns_behind_their_prompts_are_not(caplog, template):
    with caplog.at_level(logging.WARNING, "lar"):
        corpus = Corpus.build(runs(), PROMPTING[template])
    assert corpus.manifest.unprompted == 0
    assert not caplog.records
    assert Corpus.build(runs(), LOSSY["last thought"]).manifest.unprompted == 0


def test_a_build_that_goes_on_counts_each_turn_once(tmp_path):
    def stopped():
        yield from runs()[:25]
        raise KeyboardInterrupt

    tokenizer = PROMPTING["no empty thought"]
    with pytest.raises(KeyboardInterrupt):
        Corpus.build(stopped(), tokenizer, tmp_path / "corpus", shard_tokens=200, workers=1)
    begun = Corpus.build(runs(), tokenizer, tmp_path / "corpus", shard_tokens=200, workers=1)
    assert begun.manifest == Corpus.build(runs(), tokenizer, tmp_path / "whole", shard_tokens=200).manifest
