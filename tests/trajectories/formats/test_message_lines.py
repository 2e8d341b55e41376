"""One chat message a line: which conversation each belongs to."""

import csv
import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import feather

from lar.errors import TrajectoryError
from lar.trajectories import Report, read_trajectories
from lar.trajectories.formats.interfaces.conversations import KNOWN
from lar.trajectories.importing import import_logs
from testing.sessions import agent, call, read, user, write_lines

NAMES = [
    *("session_id", "sessionId", "SessionID", "conversation_id", "conversationId", "ConversationID"),
    *("thread_id", "threadId", "chat_id", "chatId", "dialog_id", "dialogueId"),
    *("trace_id", "traceId", "run_id", "runId"),
    *("session", "conversation", "conv", "conv_id", "chat", "dialog", "dialogue", "episode", "episode-id"),
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


@pytest.mark.parametrize("indent", [None, 1])
def test_an_array_of_messages_is_read_as_lines_are(tmp_path: Path, indent: int | None) -> None:
    said = [("a", user("Count")), ("b", user("Add")), ("a", agent("12")), ("b", agent("3"))]
    entries = [{**message, "session_id": name} for name, message in said]
    (tmp_path / "log.json").write_text(json.dumps(entries, indent=indent), encoding="utf-8")
    found, report = read(tmp_path / "log.json", strict=True)
    lines, _ = read(write_lines(tmp_path / "log.jsonl", entries))
    assert [(item.id, item.messages) for item in found] == [(item.id, item.messages) for item in lines]
    assert [(item.id, item.messages[0]["content"]) for item in found] == [("a", "Count"), ("b", "Add")]
    assert set(report.formats) == {"message_lines"}


@pytest.mark.parametrize(
    "names",
    [
        [{}, {"session_id": "a"}, {}, {"session_id": "b"}],
        [{"run_id": 1}, {"run_id": 1}, {"run_id": 2}, {"run_id": 2}],
        [{"trace_id": "x"}, {"trace_id": "x"}, {"trace_id": "y"}, {"trace_id": "y"}],
        [{"chat": "Alice"}, {"chat": "Bot"}, {"chat": "Alice"}, {"chat": "Bot"}],
        [{"session_id": "a"}] * 4,
    ],
)
def test_an_array_that_may_be_one_conversation_is_one(tmp_path: Path, names: list[dict[str, Any]]) -> None:
    said = [user("Count"), agent("12"), user("Add"), agent("3")]
    entries = [{**message, **name} for message, name in zip(said, names, strict=True)]
    (tmp_path / "log.json").write_text(json.dumps(entries), encoding="utf-8")
    (found,), report = read(tmp_path / "log.json", strict=True)
    assert (found.messages, set(report.formats)) == (said, {"chat"})


def test_an_array_is_read_as_lines_where_the_format_says_so(tmp_path: Path) -> None:
    entries = [{**message, "run_id": 1} for message in (user("Count"), agent("12"))]
    (tmp_path / "log.json").write_text(json.dumps([*entries, "lost"]), encoding="utf-8")
    (found,), report = read(tmp_path / "log.json", format="message_lines")
    assert (found.id, found.messages) == ("1", [user("Count"), agent("12")])
    assert "expected an object, found str" in report.problems.summary()


def test_a_row_that_is_no_message_is_counted(tmp_path: Path) -> None:
    rows = [{"role": role, "content": "Count"} for role in ["user", "assistant"] * 12]
    path = write_table(tmp_path, "csv", [*rows, {"role": "supervisor", "content": "Stop"}])
    (found,), report = read(path)
    assert len(found.messages) == 24
    assert "record 25, line 26: no message, as the rows before it are" in report.problems.summary()


def write_table(folder: Path, suffix: str, rows: list[dict[str, str | None]]) -> Path:
    """Write `rows`, of equal columns, as a table of the kind that `suffix` names."""
    path = folder / f"rows.{suffix}"
    if suffix in ("csv", "tsv"):
        with path.open("w", encoding="utf-8", newline="") as file:
            table = csv.DictWriter(file, list(rows[0]), delimiter="," if suffix == "csv" else "\t")
            table.writeheader()
            table.writerows(rows)
    elif suffix == "parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    else:
        feather.write_feather(pa.Table.from_pylist(rows), path)
    return path


@pytest.mark.parametrize("suffix", ["csv", "tsv", "parquet", "feather"])
@given(
    said=st.lists(st.tuples(st.sampled_from("ab"), st.text('xy, \n\t"é', min_size=1)), min_size=1, max_size=6)
)
@settings(max_examples=15)
def test_a_table_with_a_message_a_row_is_read_as_lines_are(suffix: str, said: list[tuple[str, str]]) -> None:
    calls = json.dumps([call("count", "{}", "c1")])
    head = [("a", "user", "Count.", None), ("a", "assistant", None, calls)]
    names = ("conversation_id", "role", "content", "tool_calls")
    cells = [*head, *((name, "assistant", text, None) for name, text in said)]
    rows = [dict(zip(names, row, strict=True)) for row in cells]
    with TemporaryDirectory() as folder:
        lines, _ = read(write_lines(Path(folder) / "rows.jsonl", rows), strict=True)
        path, imported = write_table(Path(folder), suffix, rows), Path(folder) / "out.jsonl"
        table, report = read(path, strict=True)
        import_logs([path], imported, strict=True)
        assert [item.messages for item in read_trajectories(imported)] == [item.messages for item in table]
    assert [(item.id, item.messages) for item in table] == [(item.id, item.messages) for item in lines]
    assert set(report.formats) == {"message_lines"}
    assert table[0].messages[1] == agent("", call("count", "{}", "c1"))


def test_a_table_that_breaks_off_keeps_the_messages_before(tmp_path: Path) -> None:
    path = write_table(tmp_path, "csv", [{**user("Count"), "n": "1"}, {**agent("12"), "n": "2"}])
    path.write_text(path.read_text() + 'user,"Count ag', encoding="utf-8")
    (found,), report = read(path)
    assert found.messages == [user("Count"), agent("12")]
    assert "record 3, line 4: not a readable table: unexpected end of data" in report.problems.summary()


def test_a_table_of_conversations_is_still_read_row_by_row(tmp_path: Path) -> None:
    rows = [{"task": "a", "messages": json.dumps([user("Count"), agent("12")])}] * 2
    found, report = read(write_table(tmp_path, "csv", rows), strict=True)
    assert (len(found), set(report.formats)) == (2, {"chat"})


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


def test_the_docs_list_the_known_names() -> None:
    docs = (Path(__file__).parents[3] / "docs" / "logs.md").read_text()
    assert [name for name in KNOWN if f"`{name}`" not in docs] == []
    assert {name.replace("_", "").replace("-", "").lower() for name in NAMES} == set(KNOWN)


TICKETS = ["5bc8fbbc-bde5", "d76d4330-f144", 7]


@given(st.lists(st.tuples(st.sampled_from(TICKETS), st.booleans()), min_size=1, max_size=8))
@settings(max_examples=40)
def test_a_task_key_tells_conversations_apart(turns: list[tuple[str | int, bool]]) -> None:
    said = [agent(f"Answer {number}.") for number in range(len(turns))]
    entries = [
        {**message, "meta": {"ticket": ticket}, "session_id": "a" if in_session else None}
        for message, (ticket, in_session) in zip(said, turns, strict=True)
    ]
    with TemporaryDirectory() as folder:
        path = write_lines(Path(folder) / "log.jsonl", entries)
        found, report = read(path, strict=True, task_key="meta.ticket")
    assert sorted(((one.task, one.messages) for one in found), key=str) == sorted(
        (
            (str(name), [said[at] for at, turn in enumerate(turns) if turn == (name, in_session)])
            for name, in_session in set(turns)
        ),
        key=str,
    )
    assert len({one.id for one in found}) == len(found)
    assert report.fused == {}


def test_a_task_at_some_messages_is_that_of_their_conversation(tmp_path: Path) -> None:
    entries = [
        {**user("Count"), "session": "a", "ticket": "t1"},
        {**agent("12"), "session": "a"},
        {**user("Count"), "session": "b", "ticket": "t2"},
        {**agent("13"), "session": "b"},
    ]
    found, _ = read(write_lines(tmp_path / "log.jsonl", entries), strict=True, task_key="ticket")
    assert [(one.id, one.task, len(one.messages)) for one in found] == [("a", "t1", 2), ("b", "t2", 2)]
    del entries[2]["ticket"]
    found, report = read(write_lines(tmp_path / "log.jsonl", entries), task_key="ticket")
    assert [one.task for one in found] == ["t1"]
    assert report.problems.records[0].reason == "no text or number at the task key 'ticket'"


def _asked_and_answered(number: int, **fields: object) -> list[dict[str, object]]:
    return [{**user(f"Count {number}"), **fields}, {**agent(f"{number}"), **fields}]


def _each(*fields: dict[str, object]) -> list[dict[str, object]]:
    return [line for at, one in enumerate(fields) for line in _asked_and_answered(at, **one)]


DOUBTED = {
    "in blocks": ("ticket", _each({"ticket": "x"}, {"ticket": "x"}, {"ticket": "y"}, {"ticket": "z"})),
    "interleaved": ("ticket", _each({"ticket": 1}, {"ticket": 2}, {"ticket": 3}, {"ticket": 1})),
    "nested": (
        "meta.case_id",
        _each(*({"meta": {"case_id": name}} for name in "xyx"), {"meta": {"case_id": "z"}}),
    ),
    "the finest": (
        "call",
        _each(*({"user": at // 2, "call": f"c{at}"} for at in range(3)), {"user": 1, "call": "c2"}),
    ),
}
SURE = {
    "no field": _each({}, {}),
    "one value": _each({"ticket": "x"}, {"ticket": "x"}),
    "numbers of turns": _each(
        {"turn": 1, "turnIndex": 1, "step_id": 1}, {"turn": 2, "turnIndex": 2, "step_id": 2}
    ),
    "a day": _each({"date": "2025-01-01"}, {"date": "2025-01-02"}),
    "a known name": _each({"session": "a", "ticket": "x"}, {"session": "a", "ticket": "y"}),
    "of each message": [{**line, "uuid": f"u{at}"} for at, line in enumerate(_each({}, {}))],
    "of the agent alone": [{**user("Count"), "model": "m"}, *({**agent(n), "node": n} for n in "abc")],
    "not at all messages": [*_each({"ticket": "x"}, {"ticket": "y"}), user("Thanks")],
}


@pytest.mark.parametrize(("field", "entries"), DOUBTED.values(), ids=DOUBTED)
def test_a_field_that_may_name_several_conversations_is_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, field: str, entries: list[dict[str, object]]
) -> None:
    path = write_lines(tmp_path / "log.jsonl", entries)
    (found,), report = read(path, strict=True)
    assert len(found.messages) == len(entries)
    assert [(name, one.files, one.values, one.first) for name, one in report.fused.items()] == [
        (field, 1, 3, str(path))
    ]
    imported = Report()
    import_logs([path], tmp_path / "out.parquet", report=imported)
    assert imported == report
    assert not caplog.messages
    list(read_trajectories(path))  # without a report it is logged
    (warning,) = caplog.messages
    assert warning == (
        f"{path}: read as one conversation, but the field {field} of its messages has 3 values, each with"
        f" messages of the user and of the agent; if it names the conversation, use --task-key {field}"
    )
    assert len(read(path, strict=True, task_key=field)[0]) == 3


@pytest.mark.parametrize("entries", SURE.values(), ids=SURE)
def test_a_field_that_names_no_conversation_is_none(tmp_path: Path, entries: list[dict[str, object]]) -> None:
    (_,), report = read(write_lines(tmp_path / "log.jsonl", entries), strict=True)
    assert report.fused == {}


def test_files_that_may_be_fused_are_counted_by_their_field(tmp_path: Path) -> None:
    for number in range(3):
        write_lines(tmp_path / f"{number}.jsonl", _each({"ticket": "x"}, {"ticket": "y"}))
    _, report = read(tmp_path)
    assert report.fused["ticket"].files == 3
    (doubt,) = report.doubts()
    assert doubt.startswith(f"{tmp_path / '0.jsonl'} (and 2 more files): read as one conversation")


def test_messages_without_the_task_key_are_an_error(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "log.jsonl", _each({"ticket": "x"}))
    with pytest.raises(TrajectoryError, match="no text or number at the task key 'case'"):
        read(path, task_key="case")


def test_the_last_outcome_of_a_conversation_is_its_outcome(tmp_path: Path) -> None:
    entries = [
        {**user("Count"), "session": "a", "passed": False},
        {**user("Count"), "session": "b"},
        {**agent("12"), "session": "a", "passed": True},
        {**agent("13"), "session": "b", "passed": 0},
        {**user("Count"), "session": "c"},
        {**agent("14"), "session": "c"},
    ]
    found, _ = read(write_lines(tmp_path / "log.jsonl", entries), strict=True, success_key="passed")
    assert [(one.id, one.success) for one in found] == [("a", True), ("b", False), ("c", None)]
