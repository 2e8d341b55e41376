"""HAR files: all calls of models are read, of any interface and in any order; other entries are counted."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lar.errors import TrajectoryError
from lar.trajectories import Report, Trajectory, read_trajectories
from testing.sessions import agent, user

SAID = {"role": "assistant", "content": "Twelve."}
CHUNK = {"candidates": [{"content": {"role": "model", "parts": [{"text": "Twelve."}]}}]}
PIECE = {"model": "m", "message": SAID, "done": False}
END = {"model": "m", "message": {"role": "assistant", "content": ""}, "done": True}


def asked(name: str) -> str:
    return f"How many crates, {name}?"


def conversation(name: str) -> dict[str, Any]:
    return {"model": "m", "messages": [user(asked(name))]}


def response(name: str) -> dict[str, Any]:
    item = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Twelve."}]}
    return {"id": f"resp_{name}", "object": "response", "output": [item]}


def sent(event: Any) -> str:
    return f"data: {json.dumps(event)}\n\n"


# The body of a request and that of its reply, by the interface.
CALLS: dict[str, tuple[Any, Any]] = {
    "chat": (conversation("chat"), {"choices": [{"message": SAID}]}),
    "streamed": (conversation("streamed"), sent({"choices": [{"delta": {"content": "Twelve."}}]})),
    "anthropic": (
        {**conversation("anthropic"), "max_tokens": 9},
        {"type": "message", "role": "assistant", "content": [{"type": "text", "text": "Twelve."}]},
    ),
    "gemini": ({"contents": [{"role": "user", "parts": [{"text": asked("gemini")}]}]}, CHUNK),
    "gemini sent": ({"contents": [{"role": "user", "parts": [{"text": asked("gemini sent")}]}]}, sent(CHUNK)),
    "responses": ({"model": "m", "input": asked("responses")}, response("responses")),
    "again": ({"model": "m", "input": asked("again")}, response("again")),
    "steps": (
        {"model": "m", "input": asked("steps")},
        sent({"event_type": "step.delta", "index": 0, "delta": {"type": "text", "text": "Twelve."}}),
    ),
    "cohere": (
        conversation("cohere"),
        sent({"type": "content-delta", "index": 0, "delta": {"message": {"content": {"text": "Twelve."}}}}),
    ),
    "prompt": ({"model": "m", "prompt": asked("prompt")}, {"choices": [{"text": "Twelve."}]}),
    "ollama": (conversation("ollama"), f"{json.dumps(PIECE)}\n{json.dumps(END)}\n"),
}
OTHERS: dict[str, tuple[Any, Any]] = {
    "page": (None, "<html>Twelve.</html>"),
    "telemetry": ({"event": "start"}, {"ok": True}),
    "embedding": ({"model": "m", "input": "crates"}, {"data": [{"embedding": [1.0]}]}),
}


def entry(request: Any, reply: Any, url: str = "https://host/path?key=k") -> dict[str, Any]:
    text = reply if isinstance(reply, str) else json.dumps(reply)
    posted = {} if request is None else {"postData": {"text": json.dumps(request)}}
    return {
        "request": {"method": "GET" if request is None else "POST", "url": url, **posted},
        "response": {"status": 200, "content": {"mimeType": "x", "text": text}},
    }


def read(folder: Path, entries: list[Any], indent: int | None = None) -> tuple[list[Trajectory], Report]:
    path, report = folder / "log.har", Report()
    path.write_text(json.dumps({"log": {"version": "1.2", "entries": entries}}, indent=indent))
    return list(read_trajectories(path, report=report)), report


@given(st.permutations([*CALLS, *OTHERS]), st.sampled_from([None, 1]))
@settings(deadline=None, max_examples=25)
def test_all_calls_are_read_and_the_others_are_counted(tmp_path_factory, names, indent):
    bodies = CALLS | OTHERS
    found, report = read(tmp_path_factory.mktemp("har"), [entry(*bodies[name]) for name in names], indent)
    expected = [[user(asked(name)), agent("Twelve.")] for name in sorted(CALLS)]
    assert sorted((one.messages for one in found), key=str) == sorted(expected, key=str)
    assert report.problems.count == len(OTHERS)
    assert all(
        "no call of a model: 'POST" in text or "'GET" in text for text in map(str, report.problems.records)
    )
    assert not any("key=" in str(problem) for problem in report.problems.records)


def test_a_response_goes_on_from_one_of_another_entry(tmp_path):
    more = {"model": "m", "input": "And now?", "previous_response_id": "resp_responses"}
    entries = [entry(*OTHERS["page"]), entry(*CALLS["responses"]), entry(more, response("more"))]
    (found,), _ = read(tmp_path, entries)
    said = agent("Twelve.")
    assert found.messages == [user(asked("responses")), said, user("And now?"), said]


@pytest.mark.parametrize("name", ["chat", "anthropic", "gemini", "responses"])
@pytest.mark.parametrize("reply", ["<html>Bad gateway</html>", "", {"error": {"message": "Overloaded"}}])
def test_a_call_that_failed_costs_itself_alone(tmp_path, name, reply):
    entries = [entry(CALLS[name][0], reply), entry(*CALLS["again"]), entry(*CALLS["prompt"])]
    found, report = read(tmp_path, entries)
    assert [one.messages[0] for one in found] == [user(asked(name)) for name in ("again", "prompt")]
    assert report.problems.count == 1


def test_a_malformed_call_costs_itself_alone(tmp_path):
    broken = {**response("broken"), "output": [{"type": "function_call", "arguments": "{}"}]}
    entries = [
        entry({"model": "m", "input": "Hm?"}, broken),
        entry(*CALLS["responses"]),
        entry(*CALLS["again"]),
    ]
    found, report = read(tmp_path, entries)
    assert len(found) == 2
    assert [problem.message for problem in report.problems.records] == [
        "a call in the HAR file: an item of type 'function_call' without a name"
    ]


def test_a_file_without_a_call_is_one_clear_problem(tmp_path):
    with pytest.raises(TrajectoryError, match="no call of a model: 'GET https://host/path'"):
        read(tmp_path, [entry(*OTHERS["page"])])


def test_one_interface_may_be_chosen(tmp_path):
    path = tmp_path / "log.har"
    entries = [entry(*bodies) for bodies in (OTHERS | CALLS).values()]
    path.write_text(json.dumps({"log": {"entries": entries}}))
    (found,) = read_trajectories(path, format="anthropic")
    assert found.messages[0] == user(asked("anthropic"))
