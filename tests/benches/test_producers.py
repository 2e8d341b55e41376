"""The logs that the import bench makes are read whole, in each producer's form."""

import pytest

from benches.producers import LINES, SESSIONS, with_tools, write
from lar.trajectories import Report, read_trajectories


def run(name):
    call = {"id": "c1", "type": "function", "function": {"name": "count", "arguments": '{"bay": 4}'}}
    return {
        "id": f"set/{name}",
        "messages": [
            {"role": "user", "content": f"How many crates, {name}?"},
            {"role": "assistant", "content": "I look.", "tool_calls": [call]},
            {"role": "tool", "content": "12", "tool_call_id": "c1"},
            {"role": "assistant", "content": f"Twelve, {name}."},
        ],
    }


@pytest.mark.parametrize("producer", [*LINES, *SESSIONS])
def test_a_log_has_the_runs_that_it_was_made_of(producer, tmp_path):
    runs = [run(name) for name in ("Ann", "Bob", "Cy")]
    write(runs, producer, 1, tmp_path / "log.jsonl")
    report = Report()
    found = list(read_trajectories(tmp_path / "log.jsonl", report=report))
    said = [[(message["role"], message["content"]) for message in one.messages] for one in found]
    assert sorted(said) == sorted([[(m["role"], m["content"]) for m in one["messages"]] for one in runs])
    calls = [call["function"] for one in found for call in one.messages[1]["tool_calls"]]
    assert [(call["name"], call["arguments"].replace(" ", "")) for call in calls] == [
        ("count", '{"bay":4}')
    ] * 3
    assert report.problems.count == 0
    assert report.repeated == (3 if producer in LINES else 0)


def test_runs_that_some_producer_cannot_write_are_passed_over():
    assert with_tools(run("Ann"))["tools"][0]["function"]["name"] == "count"
    broken = run("Ann")
    broken["messages"][1]["tool_calls"][0]["function"]["arguments"] = {"bay": 4}
    assert with_tools(broken) is None
