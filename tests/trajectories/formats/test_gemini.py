"""Gemini's API: requests, responses, tuning lines and checkpoints."""

import json
from pathlib import Path
from typing import Any

import pytest

from testing.sessions import LOGS, agent, call, read, result, user, write_lines

FOLDER = LOGS / "gemini"
ASKED = {"contents": [{"role": "user", "parts": [{"text": "Count bay 4"}]}]}
ANSWER = {"candidates": [{"content": {"role": "model", "parts": [{"text": "Twelve."}]}}]}


def test_calls_of_a_proxy_are_one_trajectory() -> None:
    (found,), report = read(FOLDER / "calls.jsonl", strict=True)
    assert found.messages == [
        {"role": "system", "content": "You count boxes."},
        user("How many boxes are in bay 4?"),
        agent("I look.", call("count", '{"bay": 4}'), thought="The bay is named, so I count it."),
        result("12 boxes\n", "count"),
        agent("There are 12 boxes."),
    ]
    assert (found.id, found.model) == ("bay-4", "models/gemini-2.5-flash")
    assert found.tools is not None
    assert found.tools[0]["function"]["name"] == "count"
    assert report.repeated == 1


def test_a_call_that_was_tried_again_is_one_and_two_equal_requests_are_two(tmp_path: Path) -> None:
    pair = {"request": ASKED, "response": ANSWER}
    found, report = read(write_lines(tmp_path / "pairs.jsonl", [pair, pair]), strict=True)
    assert (len(found), report.repeated) == (1, 1)
    told = {"contents": [*ASKED["contents"], ANSWER["candidates"][0]["content"]]}
    found, report = read(write_lines(tmp_path / "told.jsonl", [told, told]), strict=True)
    assert (len(found), report.repeated) == (2, 0)


def test_tuning_lines() -> None:
    (first, second), _ = read(FOLDER / "tuning.jsonl", strict=True)
    code = '{"language": "PYTHON", "code": "print(3 * 4)"}'
    assert first.messages == [
        {"role": "system", "content": "Be brief."},
        user("Look at [image]."),
        agent("I run code.", call("code_execution", code)),
        result("12\n", "code_execution"),
        agent("Twelve boxes."),
        user("And bay 5?"),
        agent("", call("count", '{"bay": 5}', "f1"), call("count", "{}", "f2")),
        result('{"boxes": 3, "unit": "box"}', "count", "f1"),
        result('{"error": "no bay"}', "count", "f2"),
        agent("Three."),
    ]
    assert second.messages == [user("Close bay 4."), agent("Closed.")]  # the completion with the best score


def test_a_checkpoint_is_one_conversation(tmp_path: Path) -> None:
    (found,), _ = read(FOLDER / "checkpoint.json", strict=True)
    assert found.messages[1:] == [agent("Got it."), user("Count bay 6."), agent("Bay 6 is empty.")]
    # The task is what the user asked, and not what the program wrote, which holds the date.
    path = write_lines(
        tmp_path / "a.jsonl", [{"contents": [{"parts": [{"text": "Count bay 6."}]}], **ANSWER}]
    )
    assert found.task == read(path)[0][0].task


@pytest.mark.parametrize(
    "record",
    [
        {**ASKED, **ANSWER},
        {"request": ASKED, "response": ANSWER},
        {"request": json.dumps(ASKED), "response": json.dumps(ANSWER)},
        {"full_request": ASKED, "full_response": ANSWER},
        {"input": ASKED, "output": [ANSWER]},
        {"history": [*ASKED["contents"], ANSWER["candidates"][0]["content"]]},
        {"contents": ASKED["contents"][0], **ANSWER},
        {
            "chunkedPrompt": {
                "chunks": [
                    {"role": "user", "text": "Count bay 4"},
                    {"role": "model", "text": "Twelve.", "parts": [{"text": "Twelve."}]},
                ]
            }
        },
    ],
)
def test_request_and_response_however_they_are_wrapped(tmp_path: Path, record: dict[str, Any]) -> None:
    for path in (write_lines(tmp_path / "log.jsonl", [record]), tmp_path / "log.json"):
        if path.suffix == ".json":
            path.write_text(json.dumps(record, indent=1))
        (found,), _ = read(path, strict=True)
        assert found.messages == [user("Count bay 4"), agent("Twelve.")]


def test_a_part_may_hold_several_things(tmp_path: Path) -> None:
    parts = [
        {"text": "I look.", "function_call": {"name": "count", "args": {}}, "inline_data": None, "ts": 7},
        {"text": "", "thoughtSignature": "c2ln"},
        {"thought": "One call."},
        {"toolCode": {"text": 1}},
    ]
    contents = [*ASKED["contents"], {"role": "user", "parts": [{"text": "", "map": {"bay": 4}}]}]
    record = {"contents": contents, "candidates": [{"content": {"role": "model", "parts": parts}}]}
    (found,), _ = read(write_lines(tmp_path / "log.jsonl", [record]), strict=True)
    assert found.messages == [
        user("Count bay 4"),
        user("[map]"),
        agent("I look.", call("count", "{}"), thought="One call."),
    ]


def test_a_result_with_a_type_and_a_value_is_whole(tmp_path: Path) -> None:
    """Another SDK puts {type, value} around results; what a tool gives may have such members of its own."""
    weighed = {"type": "scale", "value": 3, "unit": "kg"}
    parts: list[dict[str, Any]] = [{"functionResponse": {"name": "weigh", "response": weighed}}]
    calls = [{"functionCall": {"name": "weigh", "args": {}}}]
    contents = [*ASKED["contents"], {"role": "model", "parts": calls}, {"role": "user", "parts": parts}]
    (found,), _ = read(write_lines(tmp_path / "log.jsonl", [{"contents": contents, **ANSWER}]), strict=True)
    assert found.messages[2] == result(json.dumps(weighed), "weigh")


def test_a_broken_record_costs_itself_alone(tmp_path: Path) -> None:
    broken: list[dict[str, Any]] = [
        {"contents": [{"role": "model", "parts": [{"functionCall": {"args": {}}}]}]},
        {"contents": [{"role": "user", "parts": [7]}]},
        {"request": ASKED},
    ]
    found, report = read(write_lines(tmp_path / "log.jsonl", [*broken, {**ASKED, **ANSWER}]))
    assert len(found) == 1
    assert report.problems.count == 3
    assert "no turn of the agent" in str(report.problems.records[2])
