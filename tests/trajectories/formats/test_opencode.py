"""Sessions of OpenCode: exported, as messages, as events, and its storage folder."""

import json
import os
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from lar.trajectories.inputs import opencode_storage
from testing.sessions import LOGS, agent, call, read, result, user, write_lines

FOLDER = LOGS / "opencode"
EXPORT = json.loads((FOLDER / "export.json").read_text())
COUNT = call("count", '{"bay": 4}', "c1")
COUNTED = result("12", "count", "c1")
MESSAGES = [
    user("Count bay 4, see [image]"),
    agent("I count.", COUNT, call("open", '{"bay": 5}', "c2"), thought="Two calls."),
    COUNTED,
    result("locked", "open", "c2"),
    agent("Twelve; bay 5 is locked."),
]


def store(folder: Path, session: dict[str, Any]) -> Path:
    """Write a session as OpenCode keeps it on disk."""
    info = session["info"]
    files = {f"session/{info['projectID']}/{info['id']}.json": info}
    for message in session["messages"]:
        name = message["info"]["id"]
        files[f"message/{info['id']}/{name}.json"] = message["info"]
        files |= {f"part/{name}/{at:03}_{part['id']}.json": part for at, part in enumerate(message["parts"])}
    files["todo/list.json"] = {"todo": "Nothing"}
    for name, value in files.items():
        file = folder / "storage" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(value))
    return folder


def test_an_exported_session() -> None:
    (found,), report = read(FOLDER / "export.json", strict=True)
    assert found.messages == MESSAGES
    assert (found.id, found.model) == ("ses_a1", "acme-1")
    assert ("opencode", "messages[].parts[].text") in report.left_out  # a text only for the screen


def test_the_messages_that_the_server_lists(tmp_path: Path) -> None:
    path = tmp_path / "messages.json"
    path.write_text(json.dumps(EXPORT["messages"], indent=1))
    (found,), _ = read(path, strict=True)
    assert found.messages == MESSAGES


def test_a_storage_folder_gives_its_sessions(tmp_path: Path) -> None:
    (found,), report = read(store(tmp_path, EXPORT), strict=True)
    assert found.messages == MESSAGES
    assert found.id == "ses_a1"
    assert report.problems.count == 0
    assert report.not_read["OpenCode's notes"].first == str(tmp_path / "storage/todo/list.json")


def test_a_broken_file_of_a_storage_costs_its_session_alone(tmp_path: Path) -> None:
    store(tmp_path, EXPORT)
    other = json.loads(json.dumps(EXPORT).replace("ses_a1", "ses_b2").replace("msg_", "msg_b"))
    store(tmp_path, other)
    (tmp_path / "storage/part/msg_b2/001_prt_5.json").write_text('{"type": "reaso')
    found, report = read(tmp_path)
    assert [item.id for item in found] == ["ses_a1"]
    assert report.problems.count == 1
    assert "ses_b2" in report.problems.summary()


def loose_session(name: str) -> dict[str, Any]:
    info = {"id": f"{name}-1", "role": "user", "sessionID": name}
    return {"info": {"id": name, "projectID": "p"}, "messages": [{"info": info, "parts": []}]}


def put_loose(folder: Path, name: str, text: str) -> Path:
    file = folder / f"storage/part/{name}.json"
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps({"id": name, "messageID": f"{name}-1", "type": "text", "text": text}))
    return file


@pytest.mark.parametrize("age", [0, 10**6])
def test_loose_parts_are_read_as_they_are_at_that_time(
    tmp_path: Path, age: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a folder that has just changed, and in one that is `age` seconds old: it is searched once."""
    parts, opened, now = tmp_path / "storage/part", Counter[Path](), time.time()
    for number in range(6):
        store(tmp_path, loose_session(f"s{number}"))
        put_loose(tmp_path, f"s{number}", "old")
    sessions = opencode_storage.find_sessions(tmp_path / "storage")
    read_value = opencode_storage._value

    def counted(file: Path) -> Any:
        opened[file] += 1
        return read_value(file)

    def texts() -> list[list[str]]:
        opened.clear()
        if age and parts.stat().st_mtime > now - age / 2:  # it has changed
            os.utime(parts, (now, parts.stat().st_mtime - age))
        values = [json.load(opencode_storage.open_session(session)) for session in sessions]
        assert not age or max(opened[file] for file in parts.glob("*.json")) <= 2
        return [[part["text"] for part in value["messages"][0]["parts"]] for value in values]

    monkeypatch.setattr(opencode_storage, "_value", counted)
    assert texts() == [["old"]] * 6
    put_loose(tmp_path, "s1", "new")
    assert texts() == [["old"], ["new"], *[["old"]] * 4]
    put_loose(tmp_path, "s2", "gone").unlink()
    assert texts() == [["old"], ["new"], [], *[["old"]] * 3]


def test_flat_messages_of_two_sessions() -> None:
    (first, second), _ = read(FOLDER / "flat.jsonl", strict=True)
    assert first.messages == [
        user("Count bay 4"),
        agent("I count.", COUNT),
        result("12", None, "c1"),
        agent("Twelve."),
    ]
    assert second.messages == [user("Open bay 5"), agent("It is open.")]
    assert [first.id, second.id] == ["ses_f1", "ses_f2"]


def test_events_have_no_request() -> None:
    (found,), _ = read(FOLDER / "events.jsonl", strict=True)
    assert found.messages == [agent("", COUNT), COUNTED, agent("Twelve.")]
    assert found.task == "opencode/ses_e1"


def test_older_messages_hold_their_parts(tmp_path: Path) -> None:
    invocation = {
        "state": "result",
        "toolCallId": "c1",
        "toolName": "count",
        "args": {"bay": 4},
        "result": "12",
    }
    entries: list[dict[str, Any]] = [
        {"id": "m1", "sessionID": "s", "role": "user", "parts": [{"type": "text", "text": "Count bay 4"}]},
        {
            "id": "m2",
            "sessionID": "s",
            "role": "assistant",
            "parts": [
                {"type": "step-start"},
                {"type": "tool-invocation", "toolInvocation": invocation},
                {"type": "step-start"},
                {"type": "text", "text": "Twelve."},
            ],
            "metadata": {"assistant": {"modelID": "acme-0", "system": ["Be", "brief."]}},
        },
    ]
    (found,), _ = read(write_lines(tmp_path / "log.jsonl", entries), strict=True)
    system = {"role": "system", "content": "Be\nbrief."}
    assert found.messages == [system, user("Count bay 4"), agent("", COUNT), COUNTED, agent("Twelve.")]
    assert found.model == "acme-0"
