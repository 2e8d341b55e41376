"""Cohere's chat, version 2: plans before calls, documents as results, thoughts in a history, streams."""

from typing import Any

from testing.sessions import LOGS, agent, call, read, result, user, write_lines

ASKED = user("How many boxes are in bay 4?")
PLAN = "I will count bay 4."
COUNT = call("count", '{"bay": 4}', "count_1")
THOUGHT = {"type": "thinking", "thinking": "The bay is named."}


def reply(*parts: Any, **fields: Any) -> dict[str, Any]:
    """A response of the service."""
    message = {"role": "assistant", "content": list(parts), **fields}
    return {"id": "c14c80c3", "message": message, "finish_reason": "COMPLETE"}


def test_a_stream_goes_on_from_the_call_before_it() -> None:
    (found,), report = read(LOGS / "cohere" / "calls.jsonl", strict=True)
    assert found.messages == [
        {"role": "system", "content": "You count boxes."},
        ASKED,
        agent("", COUNT, thought=PLAN),
        result('{"boxes": "12", "shelf": "upper"}', identifier="count_1"),
        agent("There are 12 boxes.", thought="Twelve on the upper shelf."),
    ]
    assert found.model == "command-a-03-2025"
    assert found.tools is not None
    assert found.tools[0]["function"]["name"] == "count"
    assert (report.repeated, report.cut, report.replaced) == (1, 0, {})
    assert {path.rpartition(".")[2] for _, path in report.left_out} <= {"text", "boxes", "shelf"}  # citations


def test_thoughts_and_a_plan_are_both_kept(tmp_path) -> None:
    pair = {"request": {"messages": [ASKED]}, "response": reply(THOUGHT, tool_plan=PLAN, tool_calls=[COUNT])}
    (found,), report = read(write_lines(tmp_path / "log.jsonl", [pair]), strict=True)
    assert found.messages == [ASKED, agent("", COUNT, thought=f"The bay is named.\n\n{PLAN}")]
    assert report.left_out == {}


def test_a_history_with_thoughts_is_not_taken_for_anthropics(tmp_path) -> None:
    """A reply that is nothing but calls has no content, which Anthropic's replies always have."""
    history = [ASKED, {"role": "assistant", "content": [THOUGHT, {"type": "text", "text": "Twelve."}]}]
    asked = {"messages": [*history, user("Count again.")]}
    pair = {"request": asked, "response": {**reply(tool_calls=[COUNT]), "finish_reason": "TOOL_CALL"}}
    (found,), _ = read(write_lines(tmp_path / "log.jsonl", [pair]), strict=True)
    assert found.messages[1:] == [
        agent("Twelve.", thought=THOUGHT["thinking"]),
        user("Count again."),
        agent("", COUNT),
    ]


def test_a_document_in_a_result_is_text_that_the_agent_reads(tmp_path) -> None:
    data = ('{"boxes": 12}', {"boxes": 12})
    parts = [{"type": "document", "document": {"data": one}} for one in data]
    answer = {"role": "tool", "tool_call_id": "count_1", "content": parts}
    turns = [ASKED, {"role": "assistant", "tool_calls": [COUNT]}, answer, agent("Twelve.")]
    (found,), report = read(write_lines(tmp_path / "log.jsonl", [{"messages": turns}]), strict=True)
    assert found.messages[2] == result('{"boxes": 12}' * 2, identifier="count_1")
    assert (report.left_out, report.replaced) == ({}, {})
