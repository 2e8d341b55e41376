"""One chat message a line: which conversation each belongs to."""

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from testing.sessions import agent, read, user, write_lines

NAMES = [
    *("session_id", "sessionId", "SessionID", "conversation_id", "conversationId", "ConversationID"),
    *("thread_id", "threadId", "chat_id", "chatId", "dialog_id", "dialogueId"),
    *("trace_id", "traceId", "run_id", "runId"),
]


@given(st.sampled_from(NAMES), st.lists(st.sampled_from(["a", "b", 3]), min_size=1, max_size=6))
@settings(max_examples=40)
def test_messages_of_each_conversation_stand_together(key: str, ids: list[str | int]) -> None:
    said = [agent(f"Answer {number}.") for number in range(len(ids))]
    entries = [{**message, key: name} for message, name in zip(said, ids, strict=True)]
    with TemporaryDirectory() as folder:
        found, _ = read(write_lines(Path(folder) / "log.jsonl", entries), strict=True)
    assert {item.id: item.messages for item in found} == {
        str(name): [message for message, of in zip(said, ids, strict=True) if of == name] for name in ids
    }


@pytest.mark.parametrize("key", NAMES)
def test_every_name_of_a_conversation(tmp_path: Path, key: str) -> None:
    entries = [{**message, key: name} for name in ("a", "b") for message in (user("Count"), agent("12"))]
    found, report = read(write_lines(tmp_path / "log.jsonl", entries), strict=True)
    assert [(item.id, item.messages) for item in found] == [(n, [user("Count"), agent("12")]) for n in "ab"]
    assert set(report.formats) == {"message_lines"}


def test_a_message_in_a_run_of_a_thread_is_the_threads(tmp_path: Path) -> None:
    entries = [
        {**user("Count bay 4"), "threadId": "t", "runId": None},
        {**agent("Twelve."), "threadId": "t", "runId": "r1"},
        {**agent("Right."), "runId": "r2", "threadId": "t"},
    ]
    (found,), _ = read(write_lines(tmp_path / "log.jsonl", entries), strict=True)
    assert (found.id, found.messages) == ("t", [user("Count bay 4"), agent("Twelve."), agent("Right.")])


def test_a_broken_message_costs_itself_alone(tmp_path: Path) -> None:
    nameless = {"id": "1", "type": "function", "function": {"arguments": "{}"}}
    said = {"a": agent("12"), "b": {**agent(), "tool_calls": [nameless]}, "c": agent("13")}
    entries = [
        {**message, "sessionId": name} for name in said for message in (user(f"Count {name}"), said[name])
    ]
    entries.insert(5, {**agent("I count."), "sessionId": "b"})
    found, report = read(write_lines(tmp_path / "log.jsonl", entries))
    assert [(item.id, item.messages[1:]) for item in found] == [
        ("a", [agent("12")]),
        ("b", [agent("I count.")]),
        ("c", [agent("13")]),
    ]
    (problem,) = report.problems.records
    assert problem.reason == "message 2 of the session: a tool call without a function name"
