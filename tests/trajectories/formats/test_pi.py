"""Sessions of pi, OpenClaw and Droid."""

from pathlib import Path

from testing.sessions import LOGS, agent, call, read, result, user, write_lines

COUNT = call("count", '{"bay": 4}', "c1")


def test_branches_of_a_session() -> None:
    (found, left), report = read(LOGS / "pi" / "2026-02-01T10-00-00_5e5e.jsonl", strict=True)
    asked = [user("It is Sunday."), user("Count bay 4")]
    counted = result("12[image]", "count", "c1")
    assert found.messages == [
        *asked,
        agent("I count.", COUNT, thought="One call."),
        counted,
        user("It answered in dozens."),
        agent("Twelve."),
        user("$ ls\nbay-4\n"),
        user("Bay 4 was counted."),
        agent("Done."),
    ]
    assert left.messages == [
        *asked,
        agent("I count.", COUNT, thought="One call.", weight=0),
        counted,
        agent("A dozen."),
    ]
    assert (found.id, left.id, found.model) == ("5e5e", "5e5e/1", "acme-1")
    assert found.task == left.task
    assert ("pi", "[].message.errorMessage") in report.left_out


def test_openclaw_has_calls_as_parents() -> None:
    (found,), _ = read(LOGS / "pi" / "openclaw.jsonl", strict=True)
    assert found.messages == [
        user("Open bay 5"),
        agent("", call("open", '{"bay": 5}', "t1"), call("light", "{}", "t2")),
        result("open", "open", "t1"),
        result("on", "light", "t2"),
        agent("It is open."),
    ]
    assert found.model == "acme-2"


def test_older_sessions_have_no_names_of_entries(tmp_path: Path) -> None:
    entries = [
        {"type": "session", "id": "old", "cwd": "/", "modelId": "acme-0"},
        {"type": "message", "message": {"role": "user", "content": "Count"}},
        {
            "type": "message",
            "message": {"role": "assistant", "content": [{"type": "text", "text": "Twelve."}]},
        },
    ]
    (found,), _ = read(write_lines(tmp_path / "log.jsonl", entries), strict=True)
    assert found.messages == [user("Count"), agent("Twelve.")]
    assert (found.id, found.model) == ("old", "acme-0")


def test_droid_writes_anthropic_parts(tmp_path: Path) -> None:
    turn = [{"type": "tool_use", "id": "t", "name": "Execute", "input": {"command": "ls"}}]
    back = [{"type": "tool_result", "tool_use_id": "t", "content": "bay-4"}]
    entries = [
        {"type": "session_start", "id": "d", "cwd": "/"},
        {"type": "message", "id": "1", "parentId": "d", "message": {"role": "user", "content": "List"}},
        {"type": "message", "id": "2", "parentId": "1", "message": {"role": "assistant", "content": turn}},
        {"type": "message", "id": "3", "parentId": "2", "message": {"role": "user", "content": back}},
    ]
    (found,), _ = read(write_lines(tmp_path / "log.jsonl", entries), strict=True)
    assert found.messages[1:] == [
        agent("", call("Execute", '{"command": "ls"}', "t")),
        result("bay-4", None, "t"),
    ]


def test_a_broken_line_costs_itself_alone(tmp_path: Path) -> None:
    lines = (LOGS / "pi" / "openclaw.jsonl").read_text().splitlines()
    lines[3:3] = ['{"type": "message", "id": "half']
    path = tmp_path / "log.jsonl"
    path.write_text("\n".join(lines))
    (found,), report = read(path)
    assert len(found) == 5
    assert report.problems.count == 1
