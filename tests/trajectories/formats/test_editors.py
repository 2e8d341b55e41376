"""Sessions of Goose, Continue and Cursor."""

import json
from pathlib import Path

import pytest

from testing.sessions import LOGS, agent, call, read, result, user, write_lines

GOOSE = LOGS / "goose" / "20260301_1.jsonl"
MESSAGES = [
    user("Count bay 4"),
    agent("I count.", call("bays__count", '{"bay": 4}', "c1"), thought="One call."),
    result("12", None, "c1"),
    agent("", call("light", "{}", "c3")),
    result("dark", None, "c3"),
    agent("Twelve."),
]


def test_goose() -> None:
    (found,), report = read(GOOSE, strict=True)
    assert found.messages == MESSAGES
    assert ("goose_lines", "[].content[].toolCall.error") in report.left_out


def test_goose_exported_and_as_events(tmp_path: Path) -> None:
    entries = [json.loads(line) for line in GOOSE.read_text().splitlines()][1:]
    exported = tmp_path / "session.json"
    exported.write_text(json.dumps({"id": "g1", "name": "Counting", "conversation": entries}, indent=1))
    (found,), _ = read(exported, strict=True)
    assert (found.id, found.messages) == ("g1", MESSAGES)
    events = [{"type": "message", "message": entry} for entry in entries]
    halves = [{"id": "m7", "role": "assistant", "content": [{"type": "text", "text": text}]} for text in "ab"]
    events += [{"type": "message", "message": half} for half in halves] + [{"type": "complete"}]
    (found,), _ = read(write_lines(tmp_path / "events.jsonl", events), strict=True)
    assert found.messages == [*MESSAGES, agent("ab")]


NOTES = [
    "The previous message contains a summary that was prepared because a context limit was reached.\n"
    "Do not mention that you read a summary or that conversation summarization occurred\nJust continue.",
    "Your context was compacted at the user's request. The previous message contains a summary.\n"
    "Do not mention that you read a summary or that conversation summarization occurred.\nJust continue.",
    "Ran into this error: overloaded.\n\nPlease retry if you think this is a transient or recoverable error.",
]


@pytest.mark.parametrize("note", NOTES)
def test_what_goose_writes_as_the_agent_is_context(tmp_path: Path, note: str) -> None:
    entries = [json.loads(line) for line in GOOSE.read_text().splitlines()]
    entries.append({"role": "assistant", "created": 9, "content": [{"type": "text", "text": note}]})
    (found,), _ = read(write_lines(tmp_path / "session.jsonl", entries), strict=True)
    assert found.messages == [*MESSAGES, agent(note, weight=0)]


def test_continue() -> None:
    (found,), _ = read(LOGS / "continue_dev" / "0f1e.json", strict=True)
    assert found.messages == [
        user("bay.py holds the plan.\n\nCount bay 4 in [image]"),
        agent("I count.", call("count", '{"bay":4}', "c1"), thought="One call."),
        result("12", None, "c1"),
        agent("", call("open", '{"bay":5}', "c2")),
        result("open", None, "c2"),
        agent("Twelve; bay 5 is open."),
    ]
    assert (found.id, found.model) == ("0f1e", "acme-1")


def test_cursor() -> None:
    (found,), _ = read(LOGS / "cursor" / "transcript.jsonl", strict=True)
    assert found.messages == [
        user("Count bay 4"),
        agent("I count.", call("Count", '{"bay": 4}'), thought="One call."),
        result("12", None, "t1"),
        agent("Twelve."),
    ]
    assert found.model == "acme-1"
