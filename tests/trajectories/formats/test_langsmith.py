"""LangSmith's runs and dumps of LangChain's messages."""

import json
import tempfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lar.trajectories import Report, read_trajectories
from lar.trajectories.importing import import_logs
from tests.trajectories.formats.bay import (
    ANSWER,
    LOGS,
    SYSTEM,
    TOOLS,
    call,
    only,
    read,
    result,
    talk,
    turn,
    user,
)


def test_runs_line_by_line() -> None:
    (counted, asked, rooted), report = read("langsmith", "runs.jsonl")
    assert counted.messages == talk(name="count")
    assert (counted.id, counted.task, counted.success) == ("r-3", "example-7", True)
    assert (counted.model, counted.tools) == ("demo", TOOLS)
    assert asked.messages == [
        user(5),
        {"role": "assistant", "content": "", "tool_calls": call('{"bay": 5}', "c5")},
    ]
    assert (asked.task, asked.success, asked.tools) == ("t-2", None, TOOLS)
    assert rooted.messages == [
        user(6),
        {"role": "assistant", "content": "I count.", "tool_calls": call('{"bay": 6}', "c6")},
        {"role": "tool", "content": "6", "name": "count", "tool_call_id": "c6"},
        {"role": "assistant", "content": "Six.", "reasoning_content": "The tool counted six."},
    ]
    assert report.repeated == 1


def test_each_run_of_a_file_counts_as_a_record_and_is_named_by_its_line(tmp_path: Path) -> None:
    """Line 2 is blank, line 3 has a chain; the others have calls, the last one without an answer."""
    asked = {"messages": [{"role": "user", "content": "Hi"}]}
    run = {"run_type": "llm", "inputs": asked, "trace_id": "t"}
    chain = {"id": "c", "run_type": "chain", "trace_id": "t", "inputs": {"a": "b"}}
    runs = [
        {**run, "id": "a", "outputs": {"output": "Hello!"}, "extra": {"ticket": "1"}, "passed": "yes"},
        {**chain, "outputs": {"output": "A text that no call of a model has."}},
        {**run, "id": "b", "outputs": {"output": "Hello again!"}, "extra": {"ticket": "2"}},
        {**run, "id": "c", "outputs": {}},
    ]
    path = tmp_path / "runs.jsonl"
    path.write_text("\n".join([json.dumps(runs[0]), "", *map(json.dumps, runs[1:])]))
    report, imported = Report(), Report()
    keys = {"task_key": "extra.ticket", "success_key": "passed"}
    found = list(read_trajectories(path, report=report, **keys))
    assert [(one.task, one.success) for one in found] == [("1", True), ("2", None)]
    assert (report.formats["langsmith"].records, report.problems.count) == (4, 0)
    lost = report.left_out["langsmith", "outputs.output"]
    assert (lost.records, lost.characters, lost.first) == (1, 35, f"{path}, record 2, line 3")
    assert report.first_without_content == f"{path}, record 4, line 5"
    import_logs([path], tmp_path / "out.parquet", report=imported, **keys)
    assert imported == report


@given(traces=st.lists(st.sampled_from("abc"), min_size=1, max_size=8), blank=st.integers(0, 2))
@settings(deadline=None)
def test_what_a_run_has_beside_its_call_is_counted_at_its_line(traces: list[str], blank: int) -> None:
    """Whatever trace the runs are of, and in whatever order they come."""
    runs = [
        {"id": str(n), "trace_id": trace, "run_type": "llm", "inputs": {"prompt": f"Question {n}"}}
        | {"outputs": {"output": f"Answer {n}"}, "abcdefgh"[n]: "by hand"}
        for n, trace in enumerate(traces)
    ]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "runs.jsonl"
        path.write_text(("\n" * (blank + 1)).join(map(json.dumps, runs)))
        report = Report()
        found = list(read_trajectories(path, report=report))
    assert sorted(one.id for one in found) == [str(n) for n in range(len(runs))]
    assert report.formats["langsmith"].records == len(runs)
    notes = {field: lost.first for (_, field), lost in report.left_out.items() if len(field) == 1}
    places = [f"{path}, record {n + 1}, line {1 + n * (blank + 1)}" for n in range(len(runs))]
    assert notes == dict(zip("abcdefgh", places, strict=False))


@pytest.mark.parametrize("wrap", [None, "traces", "runs"])
def test_tree_of_runs(tmp_path: Path, wrap: str | None) -> None:
    tree = json.loads((LOGS / "langsmith" / "tree.json").read_text())
    path = tmp_path / "export.json"
    path.write_text(json.dumps({"export": {"project": "p"}, wrap: [tree]} if wrap else tree))
    (found,) = read_trajectories(path, strict=True)
    assert (found.messages, found.task, found.tools) == (talk(name="count"), "t-1", TOOLS)


def test_a_run_of_a_model_without_an_answer_is_counted() -> None:
    run = {"id": "a", "trace_id": "t", "run_type": "llm", "inputs": {"prompt": "Hi"}}
    report = Report()
    runs = [{**run, "outputs": {"output": "Hello!"}}, {**run, "id": "b", "outputs": None}]
    assert len(list(read_trajectories(runs, report=report))) == 1
    assert (report.without_content, report.problems.count) == (1, 0)


def test_run_in_two_pieces(tmp_path: Path) -> None:
    """The client posts a run when it starts, and patches its output in when it ends."""
    run = {"id": "r", "trace_id": "r", "dotted_order": "1", "name": "m", "run_type": "llm"}
    given = {"messages": [{"role": "user", "content": "Hi"}]}
    reply = {"choices": [{"message": {"role": "assistant", "content": "Hello!"}}]}
    post, patch = (
        run | {"inputs": given, "outputs": {}},
        {"trace_id": "r", "dotted_order": "1", "outputs": reply},
    )
    path = tmp_path / "batch.json"
    path.write_text(json.dumps({"post": [post], "patch": [patch]}))
    (found,) = read_trajectories(path, strict=True)
    assert [message["content"] for message in found] == ["Hi", "Hello!"]


def test_rows_of_a_bulk_export(tmp_path: Path) -> None:
    runs = [json.loads(line) for line in (LOGS / "langsmith" / "runs.jsonl").read_text().splitlines()[:4]]
    names = ("id", "trace_id", "parent_run_id", "run_type", "name", "reference_example_id")
    rows = [
        {name: run.get(name) for name in names}
        | {name: json.dumps(run[name]) for name in ("inputs", "outputs", "extra")}
        for run in runs
    ]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "runs.parquet")
    (found,) = read_trajectories(tmp_path / "runs.parquet", strict=True)
    assert (found.messages, found.task, found.model) == (talk(name="count"), "t-1", "demo")


def test_runs_in_memory() -> None:
    runs = [json.loads(line) for line in (LOGS / "langsmith" / "runs.jsonl").read_text().splitlines()]
    report = Report()
    counted, asked = read_trajectories(runs, report=report)
    assert counted.messages == talk(name="count")
    assert asked.messages[0] == user(5)
    assert report.problems.count == 0  # the other runs are no calls of a model


def test_dump_of_messages() -> None:
    cut_off = {"role": "assistant", "content": ANSWER["content"], "tool_calls": call('{"bay": ', "c2")}
    told = turn(arguments='{"bay": 4}')
    assert only("langchain", "messages.json").messages == [
        SYSTEM,
        user(),
        told,
        result(name="count"),
        cut_off,
    ]


def test_state_of_langgraph() -> None:
    found = only("langchain", "state.json")
    assert (found.messages, found.task) == (talk(name="count"), "thread-9")


@pytest.mark.parametrize("form", ["plain", "lines", "messages"])
def test_plain_messages_in_their_wrappings(tmp_path: Path, form: str) -> None:
    plain = [
        {"type": "human", "content": "Hi", "id": "1"},
        {"type": "ai", "content": [{"type": "text", "text": "Hello!"}], "tool_calls": [], "id": "2"},
    ]
    path = tmp_path / "dump"
    lines = "\n".join(map(json.dumps, plain))
    path.write_text(
        {"plain": json.dumps(plain), "lines": lines, "messages": json.dumps({"messages": plain})}[form]
    )
    (found,) = read_trajectories(path, strict=True)
    assert [message["content"] for message in found] == ["Hi", "Hello!"]


@pytest.mark.parametrize(
    ("said", "weight"), [("Sorry, need more steps to process this request.", 0), ("No.", None)]
)
def test_what_langgraph_writes_at_its_limit_of_steps_is_context(said: str, weight: int | None) -> None:
    asked = {"type": "human", "content": "Count."}
    called = {"type": "ai", "content": "", "tool_calls": [{"name": "count", "args": {}, "id": "c1"}]}
    [found] = read_trajectories([{"messages": [asked, called, {"type": "ai", "content": said}]}])
    assert [message.get("weight") for message in found] == [None, None, weight]


SUMMARY = [{"type": "summary_text", "text": "Hm."}]


@pytest.mark.parametrize(
    "fields",
    [
        {"additional_kwargs": {"reasoning_content": "Hm."}},
        {"additional_kwargs": {"reasoning": "Hm."}},
        {"additional_kwargs": {"reasoning": {"id": "rs_1", "type": "reasoning", "summary": SUMMARY}}},
        {"additional_kwargs": {"reasoning_details": [{"type": "reasoning.text", "text": "Hm."}]}},
        {"content": [{"type": "reasoning", "reasoning": "Hm."}, {"type": "text", "text": "No."}]},
        {"content": [{"type": "reasoning", "summary": SUMMARY}, {"type": "text", "text": "No."}]},
        {"content": [{"type": "thinking", "thinking": "Hm."}, {"type": "text", "text": "No."}]},
        {
            "content": [{"type": "thinking", "thinking": "Hm."}],
            "additional_kwargs": {"refusal": "No."},
        },
    ],
)
def test_thoughts_and_refusals_of_langchain_are_the_agents(fields: dict[str, Any]) -> None:
    said = {"type": "ai", "content": "No.", **fields}
    [found] = read_trajectories([{"messages": [{"type": "human", "content": "Count."}, said]}])
    assert found.messages[1] == {"role": "assistant", "content": "No.", "reasoning_content": "Hm."}


@pytest.mark.parametrize("content", ["", None, []])
def test_a_refusal_of_langchain_stands_for_the_content(content: Any) -> None:
    said = {"type": "ai", "content": content, "additional_kwargs": {"refusal": "I may not."}}
    [found] = read_trajectories([{"messages": [{"type": "human", "content": "Count."}, said]}])
    assert found.messages[1] == {"role": "assistant", "content": "I may not."}
