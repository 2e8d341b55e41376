"""Calls that name the reply before them (`previous_response_id`) are read behind what was said until then."""

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lar.trajectories import Report, Trajectory, read_trajectories
from lar.trajectories.importing import import_logs

Items = list[dict[str, Any]]


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def spoken(text: str) -> dict[str, Any]:
    return {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": text}]}


def called(name: str) -> dict[str, Any]:
    return {"type": "function_call", "call_id": name, "name": "look", "arguments": json.dumps({"at": name})}


def result(name: str) -> dict[str, Any]:
    return {"type": "function_call_output", "call_id": name, "output": f"at {name} there is nothing"}


def call(name: str, given: Items, output: Items, previous: str | None = None, **more: Any) -> dict[str, Any]:
    request = {"model": "m", "input": given, "previous_response_id": previous, **more}
    return {"request": request, "response": {"id": name, "object": "response", "output": output}}


def conversation(name: str, uses_tools: list[bool]) -> tuple[list[Items], list[Items]]:
    """What a client says in each call and what the model answers, with tools or without."""
    said, answers = [[user(f"The task of {name} is long and of its own.")]], []
    for at, uses_tool in enumerate(uses_tools):
        thing = f"{name}-{at}"
        answers.append([called(thing)] if uses_tool else [spoken(f"I think of {thing}.")])
        said.append([result(thing)] if uses_tool else [user(f"And {thing}?")])
    return said[:-1], answers


def chained(name: str, uses_tools: list[bool]) -> list[dict[str, Any]]:
    """The calls of a conversation, each with what is new."""
    said, answers = conversation(name, uses_tools)
    names = [None, *(f"{name}:{at}" for at in range(len(said)))]
    return [
        call(str(names[at + 1]), said[at], answers[at], names[at], instructions=f"Be call {name}.")
        for at in range(len(said))
    ]


def whole(name: str, uses_tools: list[bool]) -> list[dict[str, Any]]:
    """The same calls, each with the whole history."""
    said, answers = conversation(name, uses_tools)
    history: Items = []
    records = []
    for at, (new, answer) in enumerate(zip(said, answers, strict=True)):
        history = history + new
        records.append(call(f"{name}:{at}", history, answer, instructions=f"Be call {name}."))
        history = history + answer
    return records


def read(records: list[Any]) -> tuple[dict[str, Trajectory], Report]:
    report = Report()
    found = list(read_trajectories(records, report=report))
    return {trajectory.id: trajectory for trajectory in found}, report


talks = st.lists(st.lists(st.booleans(), min_size=1, max_size=5), min_size=1, max_size=4)


@given(talks, st.randoms(), st.booleans())
@settings(deadline=None, max_examples=60)
def test_a_chained_log_in_any_order_is_read_as_one_with_whole_histories(talks, random, is_doubled):
    logs = [
        [record for number, talk in enumerate(talks) for record in make(f"talk {number}", talk)]
        for make in (chained, whole)
    ]
    if is_doubled:
        logs[0] = logs[0] + logs[0]
    random.shuffle(logs[0])
    (found, report), (expected, _) = map(read, logs)
    assert found == expected
    assert report.repeated == len(logs[0]) - len(talks)
    assert (report.without_history, list(report.doubts())) == (0, [])


@given(talks, st.integers(0, 100), st.randoms())
@settings(deadline=None, max_examples=30)
def test_calls_behind_a_reply_that_is_not_there_stay_and_are_counted(talks, lost, random):
    records = [record for number, talk in enumerate(talks) for record in chained(f"talk {number}", talk)]
    gone = records.pop(lost % len(records))["response"]["id"]
    behind = [one for one in records if one["request"]["previous_response_id"] == gone]
    random.shuffle(records)
    if not records:
        return
    found, report = read(records)
    turns = sum(message["role"] == "assistant" for one in found.values() for message in one.messages)
    assert turns == len(records)  # each turn once, whatever was lost
    assert report.without_history == len(behind)
    assert len(list(report.doubts())) == len(behind)


def test_an_import_makes_of_chained_calls_what_reading_makes(tmp_path: Path) -> None:
    talks = [chained(f"talk {number}", [True, False, True] * 3) for number in range(80)]
    records = [record for turn in zip(*talks, strict=True) for record in turn]
    log = tmp_path / "log.jsonl"
    log.write_text("".join(json.dumps(record) + "\n" for record in records))
    report, in_memory = Report(), Report()
    tally = import_logs([log], tmp_path / "out.jsonl", report=report, workers=2)
    expected = list(read_trajectories(log, report=in_memory))
    assert list(read_trajectories(tmp_path / "out.jsonl")) == expected
    assert (tally.trajectories, len(tally.tasks), tally.agent_turns) == (80, 80, 80 * 9)
    assert report == in_memory


def test_branches_share_their_beginning_once() -> None:
    first = call("a", [user("Find a way to the old harbour.")], [called("map")])
    branches = [
        call(name, [result("map")], [spoken(f"Take the way {name} along the long wall.")], "a")
        for name in ("b", "c")
    ]
    found, report = read([first, *branches])
    assert [one.messages[0]["content"] for one in found.values()] == ["Find a way to the old harbour."] * 2
    counted = [
        message
        for one in found.values()
        for message in one.messages
        if message["role"] == "assistant" and message.get("weight") != 0
    ]
    assert len(counted) == 3
    assert report.repeated == 1


def test_a_client_that_sends_the_history_all_the_same_has_it_once() -> None:
    records = whole("talk", [True, False])
    for before, record in pairwise(records):
        record["request"]["previous_response_id"] = before["response"]["id"]
    assert read(records)[0] == read(whole("talk", [True, False]))[0]


def test_replies_that_name_each_other_in_a_circle_are_read() -> None:
    records = [
        call(name, [user(name * 20)], [spoken(name * 30)], other) for name, other in ("ab", "ba", "cc")
    ]
    found, report = read(records)
    said = {message["content"] for one in found.values() for message in one.messages}
    assert said >= {"a" * 30, "b" * 30, "c" * 30}
    assert report.without_history == 1  # the one that names itself


def test_instructions_hold_for_their_own_call_alone() -> None:
    first = call("a", [user("Hello to the whole harbour.")], [spoken("Hello.")], instructions="Be kind.")
    second = call("b", [user("And now?")], [spoken("Now I am curt.")], "a", instructions="Be curt.")
    (found,) = read([first, second])[0].values()
    assert [message["content"] for message in found.messages] == [
        "Be curt.",
        "Hello to the whole harbour.",
        "Hello.",
        "And now?",
        "Now I am curt.",
    ]


def test_a_log_that_names_tasks_keeps_them() -> None:
    records = [record | {"task": f"task {at}"} for at, record in enumerate(chained("talk", [True, False]))]
    assert [one.task for one in read(records)[0].values()] == ["task 1"]


@pytest.mark.parametrize("is_text", [False, True])
def test_gateways_know_the_reply_before(is_text: bool) -> None:
    pairs = chained("talk", [True, False])
    bodies = [[json.dumps(body) if is_text else body for body in one.values()] for one in pairs]
    helicone = [
        {"request_id": str(at), "request_body": asked, "response_body": answer, "request_properties": {}}
        for at, (asked, answer) in enumerate(bodies)
    ]
    litellm = [
        {"id": str(at), "call_type": "aresponses", "response": answer, "messages": one["request"]["input"]}
        | {"proxy_server_request": {"body": one["request"]}}
        for at, ((_, answer), one) in enumerate(zip(bodies, pairs, strict=True))
    ]
    for records in (helicone, litellm):
        found, report = read(records)
        (one,) = found.values()
        roles = [message["role"] for message in one.messages if message["role"] != "system"]
        assert roles == ["user", "assistant", "tool", "assistant"]
        assert (report.repeated, report.without_history) == (1, 0)


@pytest.mark.parametrize("held", ["conv_1", {"id": "conv_1"}])
def test_calls_of_a_conversation_that_the_service_keeps_are_of_one_task(held: Any) -> None:
    records = [
        call(str(at), [user(f"Question {at} of many.")], [spoken(f"Answer {at}.")], conversation=held)
        for at in range(3)
    ]
    found, _ = read(records)
    assert [one.task for one in found.values()] == ["conv_1"] * 3
