"""Logs of no known format: the user names the field of the conversation, and perhaps that of the reply."""

import csv
import io
import json
import sqlite3
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lar.errors import OptionError, TrajectoryError
from lar.trajectories import Report, read_trajectories
from lar.trajectories.importing import import_logs
from testing.sessions import agent, call, read, result, user, write_lines

SYSTEM: Any = {"role": "system", "content": "Be brief."}
COUNT = call("count", '{"bay": 4}', "c1")
HISTORY = [SYSTEM, user("Count bay 4"), agent("", COUNT), result("12", None, "c1")]
# One conversation as the interfaces write it, without ids where these have none.
OPENAI: list[Any] = [*HISTORY[:2], {"role": "assistant", "content": None, "tool_calls": [COUNT]}, HISTORY[3]]
USE = {"type": "tool_use", "id": "c1", "name": "count", "input": {"bay": 4}}
ANTHROPIC = [
    user("Count bay 4"),
    {"role": "assistant", "content": [USE]},
    {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c1", "content": "12"}]},
]
GEMINI = [
    {"role": "user", "parts": [{"text": "Count bay 4"}]},
    {"role": "model", "parts": [{"functionCall": {"name": "count", "args": {"bay": 4}}}]},
    {"role": "user", "parts": [{"functionResponse": {"name": "count", "response": "12"}}]},
]
LANGCHAIN = [
    {"type": "human", "content": "Count bay 4"},
    {"type": "ai", "content": "", "tool_calls": [{"name": "count", "args": {"bay": 4}, "id": "c1"}]},
    {"type": "tool", "content": "12", "tool_call_id": "c1"},
]
ITEMS = [
    {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Count bay 4"}]},
    {"type": "function_call", "call_id": "c1", "name": "count", "arguments": '{"bay": 4}'},
    {"type": "function_call_output", "call_id": "c1", "output": "12"},
]
DONE = {"toolCallId": "c1", "state": "output-available", "input": {"bay": 4}, "output": "12"}
VERCEL = [
    {"role": "user", "parts": [{"type": "text", "text": "Count bay 4"}]},
    {"role": "assistant", "parts": [{"type": "step-start"}, {"type": "tool-count", **DONE}]},
]
STEPS = [
    {"type": "user_input", "content": [{"type": "text", "text": "Count bay 4"}]},
    {"type": "function_call", "id": "c1", "name": "count", "arguments": {"bay": 4}},
    {"type": "function_result", "call_id": "c1", "result": "12"},
]
CONVERSATIONS = {
    "OpenAI": OPENAI,
    "Anthropic": ANTHROPIC,
    "Gemini": GEMINI,
    "LangChain": LANGCHAIN,
    "Responses": ITEMS,
    "Interactions": STEPS,
    "Vercel": VERCEL,
}
MESSAGE = {"role": "assistant", "content": "Twelve."}
TEXT_PART = {"type": "text", "text": "Twelve."}
RESPONSE = {"id": "r1", "object": "response", "output": [{"type": "message", **MESSAGE}]}
REPLIES = {
    "text": "Twelve.",
    "message": MESSAGE,
    "choice": {"index": 0, "message": MESSAGE, "finish_reason": "stop"},
    "completion": {"id": "x1", "object": "chat.completion", "choices": [{"index": 0, "message": MESSAGE}]},
    "content blocks": [{"type": "redacted_thinking", "data": "xxxx"}, TEXT_PART],
    "Anthropic": {"type": "message", "role": "assistant", "content": [TEXT_PART], "stop_reason": "end_turn"},
    "Responses": RESPONSE,
    "Interactions": {"id": "v1", "steps": [{"type": "model_output", "content": [TEXT_PART]}], "usage": {}},
    "Cohere": {"id": "m1", "message": {**MESSAGE, "content": [TEXT_PART]}, "finish_reason": "COMPLETE"},
    "Gemini": {"candidates": [{"content": {"role": "model", "parts": [{"text": "Twelve."}]}}]},
}


def keyed(rows: list[Any], messages_key: str, reply_key: str | None = None, **options: Any) -> list[Any]:
    """The trajectories of rows in memory."""
    found = read_trajectories(rows, messages_key=messages_key, reply_key=reply_key, strict=True, **options)
    return list(found)


def without_ids(messages: list[Any]) -> list[Any]:
    """Messages without the ids and names that some interfaces lack."""
    bare = json.loads(json.dumps(messages))
    for message in bare:
        message.pop("tool_call_id", None)
        message.pop("name", None)
        for one in message.get("tool_calls", ()):
            one["id"] = None
    return bare


@pytest.mark.parametrize("as_text", [False, True], ids=["values", "JSON text"])
@pytest.mark.parametrize("said", CONVERSATIONS)
@pytest.mark.parametrize("replied", REPLIES)
def test_each_form_of_conversation_goes_with_each_form_of_reply(
    said: str, replied: str, as_text: bool
) -> None:
    conversation: Any = CONVERSATIONS[said]
    reply: Any = REPLIES[replied]
    if as_text:
        conversation = json.dumps(conversation)
        reply = reply if isinstance(reply, str) else json.dumps(reply)
    (found,) = keyed([{"request": {"log": conversation}, "llm_output": reply}], "request.log", "llm_output")
    expected = [*(HISTORY if said == "OpenAI" else HISTORY[1:]), agent("Twelve.")]
    assert without_ids(found.messages) == without_ids(expected)


@pytest.mark.parametrize(
    "reply",
    [
        {"role": "assistant", "content": "So:", "tool_calls": [COUNT]},
        [{"type": "text", "text": "So:"}, USE],
        {"message": {"content": "So:", "tool_calls": [COUNT]}, "finish_reason": "tool_calls"},
    ],
)
def test_calls_of_a_reply(reply: Any) -> None:
    (found,) = keyed([{"chat": HISTORY[:2], "out": reply}], "chat", "out")
    assert found.messages == [*HISTORY[:2], agent("So:", COUNT)]


@pytest.mark.parametrize("written", ['{"action": "count", "bay": 4}', "[1, 2]", '{"content": "x"}'])
def test_json_that_the_agent_wrote_is_its_text(written: str) -> None:
    (found,) = keyed([{"chat": "Count", "out": written}], "chat", "out")
    assert found.messages == [user("Count"), agent(written)]


def test_a_text_is_one_message_of_the_user_and_a_request_has_its_own_fields() -> None:
    request = {"model": "acme-1", "system": "Be brief.", "messages": HISTORY[1:2]}
    rows = [
        {"prompt_text": "Count", "out": "Twelve.", "system_prompt": "Be brief.", "model": "acme-2"},
        {"prompt_text": request, "out": "Twelve."},
        {
            "prompt_text": [{"from": "human", "value": "Count"}, {"from": "gpt", "value": "x"}],
            "out": "Twelve.",
        },
    ]
    first, second, third = keyed(rows, "prompt_text", "out")
    assert first.messages == [SYSTEM, user("Count"), agent("Twelve.")]
    assert second.messages == [SYSTEM, HISTORY[1], agent("Twelve.")]
    assert third.messages == [user("Count"), agent("x"), agent("Twelve.")]
    assert [one.model for one in (first, second, third)] == ["acme-2", "acme-1", None]


def test_the_other_fields_are_those_of_a_chat() -> None:
    tools = [{"type": "function", "function": {"name": "count", "parameters": {}}}]
    row = {
        "id": 7,
        "task_id": 5,
        "reward": 1,
        "source": "shop",
        "tools": tools,
        "log": HISTORY[:3],
        "ticket": 9,
    }
    (found,) = keyed([row], "log")
    assert (found.id, found.task, found.success, found.source) == ("7", "chat/5", True, "shop")
    assert found.tools == tools
    (found,) = keyed([row], "log", task_key="ticket", success_key="id")
    assert (found.task, found.success) == ("9", True)


text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
turn = st.fixed_dictionaries({"role": st.sampled_from(["user", "assistant"]), "content": text})
told = st.lists(turn, max_size=4).map(lambda turns: [user("go"), *turns, user("on")])


@given(rows=st.lists(st.tuples(told, text.filter(bool)), min_size=1, max_size=6))
@settings(deadline=None, max_examples=60)
def test_other_names_of_the_fields_give_the_trajectories_of_a_chat(rows: list[tuple[Any, str]]) -> None:
    rows = [([user("go")], "Gone."), *rows]  # the others may be what loggers write in place of a text
    chats = [{"messages": said, "response": {"role": "assistant", "content": reply}} for said, reply in rows]
    own = [{"a": {"b": said}, "out": reply} for said, reply in rows]
    expected = list(read_trajectories(chats, strict=True))
    assert keyed(own, "a.b", "out") == expected


ROWS: list[dict[str, Any]] = [
    {"id": number, "chat": [SYSTEM, user(f"Question {number}")], "out": f"Answer {number}", "note": "by hand"}
    for number in range(5)
]


def write_layout(path: Path) -> Path:
    """The rows in the layout that the name of the file ends with; messages are JSON text where need be."""
    flat = [{**row, "chat": json.dumps(row["chat"])} for row in ROWS]
    if path.suffix == ".jsonl":
        write_lines(path, ROWS)
    elif path.suffix == ".json":
        path.write_text(json.dumps({"run": "r", "calls": ROWS}), encoding="utf-8")
    elif path.suffix == ".csv":
        with path.open("w", encoding="utf-8", newline="") as file:
            table = csv.DictWriter(file, list(ROWS[0]))
            table.writeheader()
            table.writerows(flat)
    elif path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(ROWS), path)
    elif path.suffix == ".arrow":
        table = pa.Table.from_pylist(ROWS)
        with pa.ipc.new_file(path, table.schema) as file:
            file.write_table(table)
    else:
        database = sqlite3.connect(path)
        database.execute("CREATE TABLE other (id, name)")
        database.execute('CREATE TABLE "the calls" (id, chat, out, note)')
        database.executemany('INSERT INTO "the calls" VALUES (?, ?, ?, ?)', [[*row.values()] for row in flat])
        database.commit()
        database.close()
    return path


@pytest.mark.parametrize("ending", ["jsonl", "json", "csv", "parquet", "arrow", "db"])
def test_every_layout_gives_the_same(tmp_path: Path, ending: str) -> None:
    found, report = read(
        write_layout(tmp_path / f"log.{ending}"), messages_key="chat", reply_key="out", strict=True
    )
    assert [one.id for one in found] == ["0", "1", "2", "3", "4"]
    assert [one.messages for one in found] == [[*row["chat"], agent(row["out"])] for row in ROWS]
    assert ("keyed", "note") in report.left_out
    assert not any(path in ("chat", "out") for _, path in report.left_out)
    target = tmp_path / "all.parquet"
    import_logs(
        [tmp_path / f"log.{ending}"], target, messages_key="chat", reply_key="out", workers=2, strict=True
    )
    assert list(read_trajectories(target)) == found


def test_columns_of_json_text_and_flat_columns_have_dotted_paths(tmp_path: Path) -> None:
    with (tmp_path / "log.csv").open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["request", "reply.text", "meta"])
        rows.writerow([json.dumps({"history": HISTORY[:2]}), "Twelve.", '{"issue": "bay-4"}'])
    found, _ = read(
        tmp_path / "log.csv", messages_key="request.history", reply_key="reply.text", task_key="meta.issue"
    )
    assert [(one.task, one.messages) for one in found] == [("bay-4", [*HISTORY[:2], agent("Twelve.")])]


def test_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    data = "".join(json.dumps(row) + "\n" for row in ROWS).encode()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
    assert len(list(read_trajectories("-", messages_key="chat", reply_key="out"))) == len(ROWS)


def test_a_history_that_repeats_is_kept_once() -> None:
    said: list[Any] = [user("Count all bays")]
    rows = []
    for bay in range(4):
        rows.append({"chat": list(said), "out": f"Bay {bay}: twelve."})
        said += [agent(f"Bay {bay}: twelve."), user("Go on")]
    report = Report()
    (found,) = keyed(rows, "chat", "out", report=report)
    assert found.messages == said[:-1]
    assert report.repeated == 3
    # A log that has the reply in the history already has it once.
    assert keyed([{"chat": said[:2], "out": said[1]["content"]}], "chat", "out")[0].messages == said[:2]


def test_what_is_lost_is_counted() -> None:
    report = Report()
    row = {
        "chat": HISTORY[:2],
        "out": {"choices": [{"message": MESSAGE}, {"message": agent("Dozen, I say.")}]},
    }
    assert keyed([{**row, "trace": "a long note"}], "chat", "out", report=report)
    lost = {path: texts.characters for (_, path), texts in report.left_out.items()}
    assert lost == {"out.choices[].message.content": 13, "trace": 11}


GOOD = {"id": 1, "chat": HISTORY[:2], "out": "Twelve."}


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (
            {"id": 2, "talk": []},
            "no conversation at the messages key 'chat' (the record has the fields id, talk)",
        ),
        ({"chat": None, "out": "x"}, "no conversation at the messages key 'chat'"),
        ({"chat": [], "out": "x"}, "no conversation at the messages key 'chat'"),
        ({"chat": 5, "out": "x"}, "neither a text nor messages of a known form at the messages key 'chat'"),
        ({"chat": {"a": 1}, "out": "x"}, "neither a text nor messages of a known form"),
        ({"chat": [{"who": "me", "line": "Hi"}], "out": "x"}, "neither a text nor messages of a known form"),
        ({"chat": [{"role": "tester", "content": "Hi"}], "out": "x"}, "message 1: unknown role 'tester'"),
        (
            {"chat": HISTORY, "output": "x"},
            "no reply at the reply key 'out' (the record has the fields chat, out",
        ),
    ],
)
def test_a_record_without_the_fields_is_a_problem(row: dict[str, Any], message: str) -> None:
    report = Report()
    found = list(read_trajectories([GOOD, row], messages_key="chat", reply_key="out", report=report))
    assert len(found) == 1
    (problem,) = report.problems.records
    assert message in str(problem)
    with pytest.raises(TrajectoryError, match="given, record 2"):
        keyed([GOOD, row], "chat", "out")


def test_a_path_that_ends_too_early_names_what_is_there() -> None:
    with pytest.raises(TrajectoryError, match=r"\(request has the fields history, model\)"):
        keyed([{"request": {"history": [], "model": "m"}}], "request.histroy")


@pytest.mark.parametrize("empty", [None, "", {}, [], {"error": {"message": "overloaded"}}])
def test_a_call_without_an_answer_is_counted(empty: Any) -> None:
    report = Report()
    assert len(keyed([GOOD, {**GOOD, "out": empty}], "chat", "out", report=report)) == 1
    assert report.without_content == 1
    assert not report.problems.count


def test_a_database_without_the_column_names_those_that_are_there(tmp_path: Path) -> None:
    path = write_layout(tmp_path / "log.db")
    with pytest.raises(
        TrajectoryError, match=r"no table has the column 'talk' \(other: id, name; the calls: id"
    ):
        read(path, messages_key="talk")
    with pytest.raises(TrajectoryError, match="--messages-key"):
        read(path)


def test_options_that_contradict_each_other() -> None:
    with pytest.raises(OptionError, match="--messages-key"):
        read_trajectories([GOOD], reply_key="out")
    with pytest.raises(OptionError, match="the format chat has its fields"):
        read_trajectories([GOOD], messages_key="chat", format="chat")


def test_a_log_without_a_turn_of_the_agent_names_the_options() -> None:
    with pytest.raises(TrajectoryError, match="--messages-key FIELD --reply-key FIELD"):
        list(read_trajectories([{"messages": HISTORY[:2], "llm_output": "Twelve."}]))
    with pytest.raises(TrajectoryError, match="--messages-key FIELD --reply-key FIELD"):
        list(read_trajectories([{"talk": "none"}]))
