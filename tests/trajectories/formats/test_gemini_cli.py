"""Sessions of the Gemini CLI and of Qwen Code."""

from pathlib import Path

from testing.sessions import LOGS, agent, call, read, result, user, write_lines

FOLDER = LOGS / "gemini_cli"


def test_a_session_in_one_object() -> None:
    (found,), report = read(FOLDER / "session-2025-11-02T08-00-1f00aa11.json", strict=True)
    assert found.messages == [
        user("List the bays"),
        agent(
            "I list them.",
            call("list_directory", '{"path": "bays"}', "list-1"),
            call("read_file", '{"path": "bays/plan.png"}', "read-1"),
            call("run_shell_command", "{}", "rm-1"),
            thought="**Listing**\nThe folder holds the bays.\n\nOne call is enough.",
        ),
        result("bay-4\nbay-5", "list_directory", "list-1"),
        result("Binary content provided (1 item).[image]", "read_file", "read-1"),
        result("The user refused.", "run_shell_command", "rm-1"),
        agent("Both bays are there."),
    ]
    assert (found.id, found.model) == ("1f00aa11-0000-4000-8000-000000000001", "gemini-2.5-pro")
    assert ("gemini_cli", "messages[].content") in report.left_out  # "Request cancelled."


def test_a_session_in_lines_with_a_rewind() -> None:
    (found, removed), _ = read(FOLDER / "session-2026-04-03T09-00-2b00cc22.jsonl", strict=True)
    count = call("count", '{"bay": 4}', "c1")
    asked = [user("<session_context>\nToday is Friday.\n</session_context>"), user("Count bay 4")]
    counted = result("12", "count", "c1")
    assert found.messages == [*asked, agent("", count, thought="Bay 4 is near."), counted, agent("Twelve.")]
    assert removed.messages == [
        *asked,
        agent("", count, thought="Bay 4 is near.", weight=0),
        counted,
        agent("A dozen."),
    ]
    assert (found.id, removed.id) == (f"{found.id}", f"{found.id}/1")
    assert found.task == removed.task


def test_all_turns_may_be_rewound_or_replaced(tmp_path: Path) -> None:
    head = {"sessionId": "s", "projectHash": "p"}
    asked = {"id": "u", "type": "user", "content": "Count"}
    first = [asked, {"id": "g", "type": "gemini", "content": "Twelve."}]
    then = [asked, {"id": "h", "type": "gemini", "content": "Shorter."}]
    (found,), _ = read(write_lines(tmp_path / "a.jsonl", [head, *first, {"$rewindTo": "u"}]), strict=True)
    assert found.messages == [user("Count"), agent("Twelve.")]
    entries = [head, *first, {"$set": {"messages": then}}]
    (found, before), _ = read(write_lines(tmp_path / "b.jsonl", entries), strict=True)
    assert found.messages[1:] == [agent("Shorter.")]
    assert before.messages[1:] == [agent("Twelve.")]


def test_qwen_code() -> None:
    (found, removed), _ = read(LOGS / "qwen_code", strict=True)
    count = call("count", '{"bay": 4}', "k1")
    counted = result("12", "count", "k1")
    assert found.messages == [
        user("Count bay 4"),
        agent("", count, thought="The bay is named."),
        counted,
        agent("Twelve."),
    ]
    assert removed.messages[1:] == [
        agent("", count, thought="The bay is named.", weight=0),
        counted,
        agent("A dozen."),
    ]
    assert (found.id, removed.id, found.model) == ("4c00", "4c00/1", "coder-model")


def test_an_unknown_type_of_message_is_a_problem(tmp_path: Path) -> None:
    session = {
        "sessionId": "s",
        "projectHash": "p",
        "messages": [{"id": "m", "type": "oracle", "content": "x"}],
    }
    good = {**session, "sessionId": "t", "messages": [{"id": "m", "type": "model", "content": "Yes."}]}
    found, report = read(write_lines(tmp_path / "log.jsonl", [session, good]))
    assert [item.id for item in found] == ["t"]
    assert "unknown type 'oracle'" in report.problems.summary()
