"""Messages that applications of the Vercel AI SDK store."""

import json
from pathlib import Path
from typing import Any

import pytest

from testing.sessions import LOGS, agent, call, read, result, user

FOLDER = LOGS / "vercel_ui"
CHAT = [
    user("Count bay 4 of [image]"),
    agent("I count.", call("count", '{"bay": 4}', "c1"), call("light", "{}", "c2"), thought="One call."),
    result('{"crates": 12}', None, "c1"),
    result("It is dark.", None, "c2"),
    agent("", call("open", '{"bay": 4}', "c3")),
    result("Not now.", None, "c3"),
    agent("Twelve."),
]
BOTH = [
    user("Count both"),
    agent("", call("count", '{"bay": 4}', "c1"), thought="Two calls."),
    result("12 crates", None, "c1"),
    agent("", call("count", '{"bay": 5}', "c2")),
    result('{"crates": 3}', None, "c2"),
    agent("Fifteen."),
]


def test_version_5() -> None:
    (found,), report = read(FOLDER / "chat.json", strict=True)
    assert (found.id, found.model, found.messages) == ("chat-5", "acme-1", CHAT)
    left = {path: texts.characters for (_, path), texts in report.left_out.items()}
    assert left["messages[].parts[].data.note"] == len("half of it")
    assert left["messages[].parts[].input.note"] == len("cut of")


def test_version_4_with_parts_and_before_it_had_them() -> None:
    found, report = read(FOLDER / "version4.jsonl", strict=True)
    assert [one.id for one in found] == ["chat-4.2", "chat-4.0"]
    assert [one.messages for one in found] == [BOTH] * 2
    assert report.formats["vercel_ui"].calls == 4


def test_rows_of_messages_are_chats() -> None:
    found, _ = read(FOLDER / "rows.jsonl", strict=True)
    assert [(one.id, one.task) for one in found] == [(name, name) for name in ("chat-6", "chat-7")]
    assert [one.messages for one in found] == [CHAT, [user("And bay 5?"), agent("Three.")]]


@pytest.mark.parametrize("indent", [None, 1])
def test_a_list_of_messages_alone(tmp_path: Path, indent: int | None) -> None:
    messages = json.loads((FOLDER / "chat.json").read_text())["messages"]
    (tmp_path / "chat.json").write_text(json.dumps(messages, indent=indent))
    (found,), _ = read(tmp_path / "chat.json", strict=True)
    assert found.messages == CHAT


@pytest.mark.parametrize("answer", [None, False, 0, "", [], {}])
def test_every_result_is_kept(tmp_path: Path, answer: Any) -> None:
    part = {"type": "tool-f", "toolCallId": "c", "state": "output-available", "input": {}, "output": answer}
    asked = {"role": "user", "parts": [{"type": "text", "text": "Go."}]}
    (tmp_path / "log").write_text(json.dumps({"messages": [asked, {"role": "assistant", "parts": [part]}]}))
    (found,), _ = read(tmp_path / "log", strict=True)
    content = answer if isinstance(answer, str) else json.dumps(answer)
    assert found.messages[1:] == [agent("", call("f", "{}", "c")), result(content, None, "c")]
