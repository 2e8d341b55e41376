"""A corpus counts what its chat template leaves out of the agent's text; a strict build stops there."""

import json
import logging
import re
from dataclasses import asdict

import pytest

from lar.corpus import Corpus
from lar.errors import CorpusError, TokenizerError, UnwrittenTextError
from lar.trajectories.schema import Trajectory
from lar.utils.result_files import CORPUS_FILE
from testing.conversations import agent, call, result, user
from testing.corpora import CHATML, build, contents, make_trajectories
from testing.lossy_templates import LOSSY


def runs(beside: str = "I look.") -> list[Trajectory]:
    """Three runs, of which the second and the third have text beside a call."""
    return [
        Trajectory(f"run{n}", f"task{n}", [user("go"), call(content=text), result("one"), agent("done")])
        for n, text in enumerate(["", beside, beside])
    ]


def test_the_manifest_counts_each_kind_with_its_first_trajectory(tmp_path):
    corpus = build(tmp_path)
    thoughts = [str(number) for number in range(0, 200, 3)]
    (loss,) = corpus.manifest.unwritten.losses
    assert asdict(loss) == {
        "kind": "reasoning of earlier turns",
        "characters": sum(map(len, thoughts)),
        "turns": len(thoughts),
        "first": "run0",
        "first_turn": 1,
    }
    assert corpus.manifest.unwritten.reasoning == loss.characters
    assert corpus.manifest.unwritten.text == 200 * len("I will." + "done")
    assert Corpus.load(corpus.path).manifest == corpus.manifest


def test_each_kind_is_one_warning(caplog):
    with caplog.at_level(logging.WARNING, "lar"):
        Corpus.build(runs(), LOSSY["one call"])
    assert [record.getMessage() for record in caplog.records] == [
        "the chat template leaves out text beside a call: 14 of 26 characters of the agent's text (53.8%), "
        "in 2 turns; the first: trajectory run1, agent turn 1"
    ]
    caplog.clear()
    with caplog.at_level(logging.WARNING, "lar"):
        Corpus.build(runs(), LOSSY["last thought"])
    assert not caplog.records


def test_a_strict_build_stops_at_the_first_loss(tmp_path):
    with pytest.raises(UnwrittenTextError, match="trajectory run1, agent turn 1") as error:
        Corpus.build(runs(), LOSSY["one call"], tmp_path / "corpus", strict=True)
    assert isinstance(error.value, TokenizerError)
    assert "text beside a call: 7 of 11 characters" in str(error.value)
    # What was stored before it is used where the build goes on.
    corpus = Corpus.build(runs(), LOSSY["one call"], tmp_path / "corpus")
    assert len(corpus) == 3
    with pytest.raises(UnwrittenTextError, match="14 of 26"):
        Corpus.build(runs(), LOSSY["one call"], tmp_path / "corpus", strict=True)
    assert len(Corpus.build(runs(beside=""), LOSSY["one call"], strict=True)) == 3


def test_a_strict_build_has_the_same_bytes(tmp_path):
    plain, strict = (
        Corpus.build(runs(), LOSSY["last thought"], tmp_path / str(strict), strict=strict)
        for strict in (False, True)
    )
    assert contents(plain.path) == contents(strict.path)


@pytest.mark.parametrize("workers", [1, 3])
def test_the_count_does_not_depend_on_shards_and_workers(tmp_path, workers):
    whole = build(tmp_path, "whole", shard_tokens=1_000_000)
    parts = build(tmp_path, "parts", shard_tokens=1_000, workers=workers)
    assert len(parts.manifest.parts) > 2
    assert parts.manifest.unwritten == whole.manifest.unwritten


def test_refused_trajectories_are_not_counted():
    refused = Trajectory("two", "task", [user("go"), agent("text", tool_calls=call()["tool_calls"] * 2)])
    corpus = Corpus.build([*runs(), refused], LOSSY["one call"], skip_refused=True)
    assert corpus.manifest.left_out == 1
    assert corpus.manifest.unwritten.text == 26


def test_a_corpus_of_an_older_version_has_no_count(tmp_path):
    corpus = build(tmp_path)
    file = corpus.path / CORPUS_FILE
    value = json.loads(file.read_text())
    del value["unwritten"]
    file.write_text(json.dumps(value))
    assert Corpus.load(corpus.path).manifest.unwritten.losses == []


@pytest.mark.parametrize(
    "damage",
    [
        lambda _: "none",
        lambda value: {**value, "text": -1},
        lambda value: {**value, "other": 1},
        lambda value: {**value, "losses": [{**value["losses"][0], "kind": "all"}]},
        lambda value: {**value, "losses": [{**value["losses"][0], "turns": "2"}]},
        lambda value: {**value, "losses": [1]},
        lambda value: {**value, "losses": 1},
    ],
)
def test_a_broken_count_is_one_clear_line(tmp_path, damage):
    corpus = build(tmp_path)
    file = corpus.path / CORPUS_FILE
    value = json.loads(file.read_text())
    file.write_text(json.dumps({**value, "unwritten": damage(value["unwritten"])}))
    with pytest.raises(CorpusError, match=re.escape(str(file))):
        Corpus.load(corpus.path)


def test_a_table_has_no_count():
    corpus = Corpus.build(make_trajectories(4), CHATML)
    assert corpus.manifest.unwritten.losses
    assert Corpus.from_arrow(corpus.to_arrow(), CHATML).manifest.unwritten.losses == []


def test_turns_of_weight_0_are_context():
    turns = [user("a"), {**agent("shown"), "weight": 0}, user("b"), agent("learned")]
    before, after = (
        Corpus.build([Trajectory("t", "task", messages)], CHATML)
        for messages in ([{k: v for k, v in turn.items() if k != "weight"} for turn in turns], turns)
    )
    (one,), (other,) = before, after
    assert (one.tokens == other.tokens).all()
    assert CHATML.decode(other.tokens[other.action]) == "learned<|im_end|>"
    assert CHATML.decode(one.tokens[one.action]) == "shown<|im_end|>learned<|im_end|>"
