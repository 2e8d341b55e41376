"""Trajectories that a program hands over mean what the same records in a log mean."""

import json

import pytest

from lar.corpus import Corpus
from lar.errors import TrajectoryError
from lar.trajectories import Trajectory, read_trajectories
from lar.trajectories.given import as_trajectories
from testing import toy

CALL = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": '{"at": "Lima"}'}}
MESSAGES = [
    {"role": "user", "content": [{"type": "text", "text": "How warm "}, {"type": "text", "text": "is it?"}]},
    {"role": "assistant", "content": None, "tool_calls": [CALL], "refusal": None},
    {"role": "tool", "content": "12", "tool_call_id": "c1"},
    {"role": "assistant", "content": "12 degrees.", "tool_calls": None},
]


def test_a_dict_a_list_and_an_object_are_read_as_a_log_is(tmp_path):
    (tmp_path / "log.jsonl").write_text(json.dumps({"messages": MESSAGES}) + "\n")
    (expected,) = read_trajectories(tmp_path / "log.jsonl")
    given = [{"messages": MESSAGES}, MESSAGES, Trajectory("x", "t", MESSAGES)]
    found = list(as_trajectories(given))
    assert [one.messages for one in found] == [expected.messages] * 3
    assert found[0].task == found[1].task == expected.task
    assert (found[2].id, found[2].task) == ("x", "t")


def test_what_is_normalized_stays_the_same_object():
    logs = toy.trajectories(3)
    assert all(found is given for found, given in zip(as_trajectories(logs), logs, strict=True))


@pytest.mark.parametrize("wrong", [{"nothing": 1}, 7, [], [{"role": "emperor", "content": "a"}]])
def test_what_is_none_is_named_by_its_number(wrong):
    with pytest.raises(TrajectoryError, match=r"^trajectory 2: "):
        list(as_trajectories([MESSAGES, wrong]))


def test_a_corpus_takes_them(tokenizer):
    logs = toy.trajectories(4)
    dicts = [{"id": log.id, "task": log.task, "messages": log.messages} for log in logs]
    expected, found = Corpus.build(logs, tokenizer), Corpus.build(dicts, tokenizer)
    tokens = [[shard.tokens.tolist() for shard in corpus.shards()] for corpus in (expected, found)]
    assert tokens[0] == tokens[1]


def test_an_error_of_the_reader_keeps_its_own_words():
    wrong = [{"role": "user", "content": "a"}, {"role": "emperor", "content": "b"}]
    with pytest.raises(TrajectoryError) as caught:
        list(as_trajectories([wrong]))
    assert str(caught.value) == "trajectory 1: message 2: unknown role 'emperor'"
