"""The SQLite databases of OpenCode, Goose and Crush."""

import gzip
import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from lar.errors import TrajectoryError
from testing.sessions import agent, call, read, result, user

COUNT = call("count", '{"bay": 4}', "c1")
MESSAGES = [
    user("Count bay 4"),
    agent("I count.", COUNT, thought="One call."),
    result("12", "count", "c1"),
    agent("Twelve."),
]


def make(path: Path, tables: dict[str, list[dict[str, Any]]]) -> Path:
    """Write a database; an object or a list is written as JSON."""
    database = sqlite3.connect(path)
    for table, rows in tables.items():
        columns = list(rows[0])
        database.execute(f"CREATE TABLE {table} ({', '.join(columns)})")
        marks = ", ".join("?" * len(columns))
        for row in rows:
            values = [json.dumps(item) if isinstance(item, dict | list) else item for item in row.values()]
            database.execute(f"INSERT INTO {table} VALUES ({marks})", values)
    database.commit()
    database.close()
    return path


def opencode(path: Path) -> Path:
    state = {"status": "completed", "input": {"bay": 4}, "output": "12"}
    parts: list[tuple[str, dict[str, Any]]] = [
        ("m1", {"type": "text", "text": "Count bay 4"}),
        ("m2", {"type": "step-start"}),
        ("m2", {"type": "reasoning", "text": "One call."}),
        ("m2", {"type": "text", "text": "I count."}),
        ("m2", {"type": "tool", "tool": "count", "callID": "c1", "state": state}),
        ("m3", {"type": "step-start"}),
        ("m3", {"type": "text", "text": "Twelve."}),
        ("m9", {"type": "text", "text": "Said in a message that was deleted."}),
    ]
    infos = [
        ("m1", {"role": "user"}),
        ("m2", {"role": "assistant", "modelID": "acme-1"}),
        ("m3", {"role": "assistant"}),
    ]
    tables: dict[str, list[dict[str, Any]]] = {
        "session": [{"id": "ses_1", "title": "Counting"}],
        "message": [
            {"id": name, "session_id": "ses_1", "time_created": at, "data": info}
            for at, (name, info) in enumerate(infos)
        ],
        "part": [
            {"id": f"p{at}", "message_id": name, "session_id": "ses_1", "time_created": at, "data": part}
            for at, (name, part) in enumerate(parts)
        ],
    }
    return make(path, tables)


def test_opencode(tmp_path: Path) -> None:
    (found,), report = read(opencode(tmp_path / "opencode.db"), strict=True)
    assert found.messages == MESSAGES
    assert (found.id, found.model) == ("ses_1", "acme-1")
    assert ("opencode", "parts_alone.mN[].text") in report.left_out


def test_goose(tmp_path: Path) -> None:
    value = {"content": [{"type": "text", "text": "12"}]}
    contents: list[tuple[str, list[Any]]] = [
        ("user", [{"type": "text", "text": "Count bay 4"}]),
        (
            "assistant",
            [
                {"type": "thinking", "thinking": "One call."},
                {"type": "text", "text": "I count."},
                {
                    "type": "toolRequest",
                    "id": "c1",
                    "toolCall": {"value": {"name": "count", "arguments": {"bay": 4}}},
                },
            ],
        ),
        ("user", [{"type": "toolResponse", "id": "c1", "toolResult": {"status": "success", "value": value}}]),
        ("assistant", [{"type": "text", "text": "Twelve."}]),
    ]
    sessions = [{"id": "g1", "working_dir": "/srv", "model_config_json": {"model_name": "acme-1"}}]
    messages = [
        {"id": at, "session_id": "g1", "role": role, "content_json": content, "created_timestamp": 7}
        for at, (role, content) in enumerate(contents)
    ]
    path = make(tmp_path / "sessions.db", {"sessions": sessions, "messages": messages})
    (found,), _ = read(path, strict=True)
    assert found.messages == [*MESSAGES[:2], result("12", None, "c1"), MESSAGES[3]]
    assert (found.id, found.model) == ("g1", "acme-1")


def crush(path: Path, said: Any = "Twelve.") -> Path:
    contents: list[tuple[str, Any]] = [
        ("user", [{"type": "text", "data": {"text": "Count bay 4"}}]),
        (
            "assistant",
            [
                {"type": "reasoning", "data": {"thinking": "One call.", "signature": "c2ln"}},
                {"type": "text", "data": {"text": "I count."}},
                {
                    "type": "tool_call",
                    "data": {"id": "c1", "name": "count", "input": '{"bay": 4}', "finished": True},
                },
                {"type": "finish", "data": {"reason": "tool_use"}},
            ],
        ),
        ("tool", [{"type": "tool_result", "data": {"tool_call_id": "c1", "name": "count", "content": "12"}}]),
        ("assistant", [{"type": "text", "data": {"text": said}}]),
    ]
    messages = [
        {
            "id": f"m{at}",
            "session_id": name,
            "role": role,
            "parts": parts,
            "model": "acme-1",
            "created_at": at,
        }
        for name in ("k1", "k2")
        for at, (role, parts) in enumerate(contents)
    ]
    messages[-1]["parts"] = "[cut"
    return make(path, {"sessions": [{"id": "k1", "title": "Counting"}], "messages": messages})


def test_crush_and_a_broken_session(tmp_path: Path) -> None:
    crush(tmp_path / "crush.db")
    (tmp_path / "crush.db-shm").write_bytes(b"\0" * 100)
    (found,), report = read(tmp_path)
    assert found.messages == MESSAGES
    assert (found.id, found.model) == ("k1", "acme-1")
    assert report.problems.count == 1
    assert "session k2: not well-formed" in report.problems.summary()


def test_what_cannot_be_read_is_one_clear_problem(tmp_path: Path) -> None:
    other = make(tmp_path / "other.db", {"bays": [{"bay": 4}]})
    with pytest.raises(TrajectoryError, match="none of OpenCode, Goose or Crush"):
        read(other)
    whole = opencode(tmp_path / "opencode.db").read_bytes()
    (tmp_path / "cut.db").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(TrajectoryError, match="not a readable database"):
        read(tmp_path / "cut.db")


def test_a_packed_database(tmp_path: Path) -> None:
    path = opencode(tmp_path / "opencode.db")
    (tmp_path / "packed.db.gz").write_bytes(gzip.compress(path.read_bytes()))
    assert read(tmp_path / "packed.db.gz", strict=True)[0][0].messages == MESSAGES
