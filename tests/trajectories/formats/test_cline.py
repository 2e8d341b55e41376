"""Tasks of Cline and Roo Code."""

import json
from pathlib import Path
from typing import Any

import pytest

from lar.errors import TrajectoryError
from testing.sessions import LOGS, agent, call, read, result, user

FILE = LOGS / "cline" / "api_conversation_history.json"


def test_calls_as_xml_stay_text() -> None:
    (found,), report = read(FILE, strict=True)
    raw = json.loads(FILE.read_text())
    asked = "".join(part["text"] for part in raw[0]["content"])
    assert found.messages == [
        user(asked),
        agent(raw[1]["content"][0]["text"]),
        user("[execute_command for 'count --bay 4'] Result:12"),
        agent(
            "I finish.",
            call("attempt_completion", '{"result": "Twelve."}', "toolu_1"),
            thought="Now the answer.",
        ),
        result("<feedback>\nThanks\n</feedback>", None, "toolu_1"),
    ]
    assert (found.task, found.model) == ("question:count bay 4", "acme-1")
    assert ("cline", "[].encrypted_content") in report.left_out


def test_attempts_at_one_task_share_its_name(tmp_path: Path) -> None:
    other = tmp_path / "api_conversation_history.json"
    other.write_text(FILE.read_text().replace("10:00", "11:30"))
    assert read(other)[0][0].task == read(FILE)[0][0].task


def test_a_newer_session_has_its_system_prompt(tmp_path: Path) -> None:
    file = {"type": "file", "path": "/srv/bay.py", "content": "print(12)"}
    messages: list[dict[str, Any]] = [
        {"id": "1", "role": "user", "content": [{"type": "text", "text": "Count: "}, file], "ts": 1},
        {
            "id": "2",
            "role": "assistant",
            "content": "Twelve.",
            "modelInfo": {"id": "acme-1", "provider": "acme"},
        },
    ]
    session = {"version": 1, "updated_at": "now", "sessionId": "s1", "system_prompt": "Be brief."}
    path = tmp_path / "s1.messages.json"
    path.write_text(json.dumps({**session, "messages": messages}, indent=2))
    (found,), _ = read(path, strict=True)
    assert found.messages == [
        {"role": "system", "content": "Be brief."},
        user("Count: print(12)"),
        agent("Twelve."),
    ]
    assert (found.id, found.model) == ("s1", "acme-1")


NOTICES = ["user", "API Error", "a tool use result. Only one tool may be used at a time."]


@pytest.mark.parametrize("notice", [f"[Response interrupted by {by}]" for by in NOTICES])
@pytest.mark.parametrize("in_parts", [True, False])
def test_what_cline_writes_as_the_agent_is_context(tmp_path: Path, notice: str, in_parts: bool) -> None:
    path = tmp_path / "api_conversation_history.json"
    asked = "<task>Count</task><environment_details>x</environment_details>"

    def turns(*parts: Any) -> Any:
        content: Any = list(parts) if in_parts else "".join(part.get("text", "") for part in parts)
        path.write_text(json.dumps([user(asked), {"role": "assistant", "content": content}]))
        (found,), _ = read(path, strict=True)
        return found.messages[1:]

    def text(said: str) -> dict[str, str]:
        return {"type": "text", "text": said}

    assert turns(text(f"I cou\n\n{notice}")) == [agent("I cou"), agent(notice, weight=0)]
    assert turns(text(notice)) == [agent(notice, weight=0)]
    failure = "Failure: I did not provide a response."
    assert turns(text(failure)) == [agent(failure, weight=0)]
    assert turns(text(f"It says {notice} here")) == [agent(f"It says {notice} here")]
    if in_parts:
        called = {"type": "tool_use", "id": "c1", "name": "count", "input": {}}
        assert turns(text(f"I count\n\n{notice}"), called) == [agent("I count", call("count", "{}", "c1"))]


def test_messages_for_the_screen_are_refused() -> None:
    found, report = read(FILE.parent)
    assert len(found) == 1
    assert report.problems.count == 1
    assert "the same task is in api_conversation_history.json" in report.problems.summary()
    with pytest.raises(TrajectoryError, match="for the screen"):
        read(FILE.parent / "ui_messages.json")
