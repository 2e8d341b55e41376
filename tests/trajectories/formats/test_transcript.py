"""Transcripts of several agents in one form."""

from pathlib import Path

from testing.sessions import LOGS, agent, call, read, result, user, write_lines


def test_a_tool_has_an_entry_of_its_own() -> None:
    (found,), report = read(LOGS / "transcript", strict=True)
    assert found.messages == [
        user("Count bay 4"),
        agent("I count.", call("count", '{"bay":4}')),
        result("12", "count"),
        agent("", call("light", "{}")),
        result("on", "light"),
        agent("I open it.", call("open", '{"bay": 4}', "t1")),
        result("open", None, "t1"),
    ]
    assert (found.id, found.model) == ("tr-1", "acme-1")
    assert ("transcript", "[].summary") in report.left_out


def test_entries_without_a_session(tmp_path: Path) -> None:
    use = {"type": "tool_use", "id": "t1", "name": "count", "input": {"bay": 4}}
    back = {"type": "tool_result", "tool_use_id": "t1", "content": "12"}
    entries = [
        {"type": "system", "message": {"role": "system", "content": "Be brief."}},
        {"type": "user", "message": {"role": "user", "content": "Count bay 4"}},
        {"type": "assistant", "message": {"role": "assistant", "content": [use]}},
        {"type": "user", "message": {"role": "user", "content": [back]}},
    ]
    (found,), _ = read(write_lines(tmp_path / "log.jsonl", entries), strict=True)
    assert found.messages == [
        {"role": "system", "content": "Be brief."},
        user("Count bay 4"),
        agent("", call("count", '{"bay": 4}', "t1")),
        result("12", None, "t1"),
    ]
