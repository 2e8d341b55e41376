"""Google's Interactions interface: steps and the older outputs, histories that are kept or sent, streams."""

import json
from typing import Any

import pytest

from testing.sessions import LOGS, agent, call, read, result, user, write_lines

FOLDER = LOGS / "interactions"
SYSTEM = {"role": "system", "content": "You count boxes."}
ASKED = "How many boxes are in bay 4?"


def text(content: str) -> dict[str, Any]:
    """A content of a step."""
    return {"type": "text", "text": content}


def said(content: str) -> dict[str, Any]:
    """A step of the model."""
    return {"type": "model_output", "content": [text(content)]}


def given(content: str) -> dict[str, Any]:
    """A step of the user."""
    return {"type": "user_input", "content": [text(content)]}


def pair(steps: list[Any], **request: Any) -> dict[str, Any]:
    """A request for one answer, and the interaction with `steps`."""
    reply = {"id": "v1", "object": "interaction", "status": "completed", "steps": steps}
    return {"request": {"model": "m", "input": ASKED, **request}, "response": reply}


def test_a_call_goes_on_from_the_interaction_that_the_service_keeps() -> None:
    (found,), report = read(FOLDER / "kept.jsonl", strict=True)
    assert found.messages == [
        SYSTEM,
        user(ASKED),
        agent("I look.", call("count", '{"bay": 4}', "c1"), thought="The bay is named, so I count it."),
        result("12 boxes\n", "count", "c1"),
        agent(
            "",
            call("google_search", '{"queries": ["boxes a bay"]}', "s1"),
            thought="Twelve. I search, too.",
        ),
        result('[{"url": "https://example.com/bays", "title": "Bays"}]', "google_search", "s1"),
        agent("There are 12 boxes."),
    ]
    assert found.model == "gemini-3-flash-preview"
    assert found.tools is not None
    assert found.tools[0]["function"]["name"] == "count"
    assert (report.without_history, report.cut) == (0, 0)
    lost = {path.removeprefix("response").removeprefix("(json)[]") for _, path in report.left_out}
    assert not [path for path in lost if path.endswith(("text", "arguments", "queries[]", "title"))]


def test_an_interaction_that_was_read_later_has_its_input_once() -> None:
    """What the model wrote for a search of files is not in the log, so it has no such call and no result."""
    (found,), report = read(FOLDER / "later.json", strict=True)
    assert found.messages == [
        SYSTEM,
        user("What is on this picture?[image]"),
        agent("", call("code_execution", '{"code": "print(3 * 4)", "language": "python"}', "x1")),
        result("12\n", "code_execution", "x1"),
        agent("", call("weigh", "{}", "m1")),
        result('{"kg": 30}', "weigh", "m1"),
        agent("Twelve boxes, 30 kg."),
    ]
    assert found.id == "v1_later"
    assert report.replaced["image"].parts == 1
    lost = {path: left.characters for (_, path), left in report.left_out.items()}
    assert lost["steps[].result[].text"] == len("Bay 4 has 12 boxes.")
    assert not [path for path in lost if path.endswith("content[].text")]


def test_turns_and_outputs_of_the_older_form() -> None:
    (whole, streamed), report = read(FOLDER / "older.jsonl", strict=True)
    assert whole.messages == [
        user("Close bay 4."),
        agent("", call("close", '{"bay": 4}', "c1")),
        result("closed", "close", "c1"),
        agent("Closed.", call("close", '{"bay": 5}', "c2")),
    ]
    assert streamed.messages == [
        user("And bay 5?"),
        agent("I look.", call("count", '{"bay": 5}', "c3"), thought="It is near."),
    ]
    assert report.cut == 0


def test_a_client_that_sends_the_history_again_writes_one_conversation(tmp_path) -> None:
    calls = {"type": "function_call", "id": "c1", "name": "count", "arguments": {"bay": 4}}
    answer = {"type": "function_result", "name": "count", "call_id": "c1", "result": {"boxes": 12}}
    first = [{"type": "thought", "signature": "c2ln"}, calls]
    history = [given(ASKED), *first, answer]
    log = [pair(first), pair([said("Twelve.")], input=history)]
    (found,), report = read(write_lines(tmp_path / "log.jsonl", log), strict=True)
    assert found.messages == [
        user(ASKED),
        agent("", call("count", '{"bay": 4}', "c1")),
        result('{"boxes": 12}', "count", "c1"),
        agent("Twelve."),
    ]
    assert report.repeated == 1
    echoed = [*history, said("Twelve.")]
    assert (
        read(write_lines(tmp_path / "log.jsonl", [pair(echoed, input=history)]))[0][0].messages
        == found.messages
    )


def test_an_echo_of_the_input_is_no_text_of_the_agent(tmp_path) -> None:
    """A text that only the user wrote is not taken for a part of the reply that was lost."""
    log = [pair([given(ASKED), said("Twelve.")])]
    (found,), report = read(write_lines(tmp_path / "log.jsonl", log), strict=True)
    assert found.messages == [user(ASKED), agent("Twelve.")]
    assert report.left_out == {}


@pytest.mark.parametrize("wrapping", [lambda body: body, json.dumps], ids=["object", "text"])
def test_steps_and_items_are_told_apart(tmp_path, wrapping) -> None:
    """OpenAI's Responses have calls of the same kind, with JSON text and another name of the id."""
    item = {"type": "function_call", "call_id": "c1", "name": "count", "arguments": '{"bay":5}'}
    step = {"type": "function_call", "id": "c1", "name": "count", "arguments": {"bay": 4}}
    theirs = {"request": {"model": "m", "input": ASKED}, "response": {"object": "response", "output": [item]}}
    log = [{**one, "response": wrapping(one["response"])} for one in (pair([step]), theirs)]
    found, report = read(write_lines(tmp_path / "log.jsonl", log), strict=True)
    assert {name: counts.calls for name, counts in report.formats.items()} == {
        "interactions": 1,
        "responses": 1,
    }
    written = [one.messages[1]["tool_calls"][0]["function"]["arguments"] for one in found]
    assert written == ['{"bay": 4}', '{"bay":5}']


@pytest.mark.parametrize(
    "asked",
    [[given(ASKED)], [text(ASKED)], [{"role": "user", "content": ASKED}]],
    ids=["steps", "contents", "turns"],
)
def test_lists_may_be_json_text_as_in_columns(tmp_path, asked) -> None:
    older = {"id": "v1", "object": "interaction", "outputs": json.dumps([text("Twelve.")])}
    log = [{**pair([], input=json.dumps(asked)), "response": older}]
    (found,), report = read(write_lines(tmp_path / "log.jsonl", log), strict=True)
    assert found.messages == [user(ASKED), agent("Twelve.")]
    assert report.left_out == {}


def test_an_interaction_without_an_answer_is_a_bad_record(tmp_path) -> None:
    failed = {**pair([]), "response": {"id": "v2", "object": "interaction", "status": "failed"}}
    (found,), report = read(write_lines(tmp_path / "log.jsonl", [failed, pair([said("Twelve.")])]))
    assert (found.id, report.problems.count) == ("v1", 1)
