"""In a file of several sessions a broken one costs itself alone, in every format that reads files whole."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from testing.sessions import read, write_lines

Entry = dict[str, Any]


def opencode(name: str, is_broken: bool) -> list[Entry]:
    part = {"type": "tool", "callID": "c", "state": {"input": {}}} if is_broken else text(name)
    return [{"type": "text", "sessionID": name, "part": {"messageID": "m", **part}}]


def text(name: str) -> Entry:
    return {"type": "text", "text": f"Answer {name}."}


def stream_json(name: str, is_broken: bool) -> list[Entry]:
    said = {
        "type": "message",
        "sessionId": name,
        "timestamp": 1,
        "role": "assistant",
        "text": f"Answer {name}.",
    }
    return [said | {"role": "oracle"} if is_broken else said]


def qwen_code(name: str, is_broken: bool) -> list[Entry]:
    parts: list[Any] = [{"functionCall": {"args": {}}}] if is_broken else [{"text": f"Answer {name}."}]
    message = {"role": "model", "parts": parts}
    return [{"uuid": name, "parentUuid": None, "sessionId": name, "type": "assistant", "message": message}]


def transcript(name: str, is_broken: bool) -> list[Entry]:
    answer = {"role": "assistant", "content": f"Answer {name}."}
    call = {"tool_name": None if is_broken else "count", "tool_input": {}, "tool_output": "12"}
    return [{"type": "assistant", "sessionId": name, "message": message} for message in (answer, call)]


def crewai_log(name: str, is_broken: bool) -> list[Entry]:
    asked: Any = [{"type": "tool_use"}] if is_broken else f"Task {name}"
    task = {"task": asked, "agent": "Counter", "status": "completed", "timestamp": "1"}
    return [{**task, "task_name": name, "output": f"Answer {name}."}]


SESSIONS = [opencode, stream_json, qwen_code, transcript, crewai_log]


def answers(path: Path, entries: list[Any]) -> tuple[list[str], list[str]]:
    """The first answer of each trajectory in a file of `entries`, and what is wrong with the others."""
    found, report = read(write_lines(path, entries))
    said = [next(message["content"] for message in item if message["role"] == "assistant") for item in found]
    return said, [problem.reason for problem in report.problems.records]


@pytest.mark.parametrize("broken", ["a", "b", "c"])
@pytest.mark.parametrize("session", SESSIONS)
def test_a_broken_session_costs_itself_alone(
    tmp_path: Path, session: Callable[[str, bool], list[Entry]], broken: str
) -> None:
    entries = [entry for name in "abc" for entry in session(name, name == broken)]
    said, (problem,) = answers(tmp_path / "log.jsonl", entries)
    assert said == [f"Answer {name}." for name in "abc" if name != broken]
    assert problem.startswith((f"session {broken}: ", f"task {broken}: "))


@pytest.mark.parametrize("session", SESSIONS)
def test_a_line_that_is_no_object_costs_itself_alone(
    tmp_path: Path, session: Callable[[str, bool], list[Entry]]
) -> None:
    entries = [*session("a", False), "a text", None, *session("b", False)]
    said, problems = answers(tmp_path / "log.jsonl", entries)
    assert said == ["Answer a.", "Answer b."]
    assert problems == ["expected an object, found str"]
