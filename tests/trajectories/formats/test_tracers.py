"""The smaller tracers and gateways: MLflow, Weave, LiteLLM, Helicone, Pydantic AI, OpenTelemetry's logs."""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lar.errors import TrajectoryError
from lar.trajectories import Report, Trajectory, read_trajectories
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


def test_mlflow() -> None:
    found = only("mlflow", "trace.json")
    assert found.messages == talk(name="count")
    assert (found.task, found.success, found.tools) == ("tr-1", True, TOOLS)


def test_rows_of_mlflow() -> None:
    """`search_traces` gives the spans as JSON text."""
    trace = json.loads((LOGS / "mlflow" / "trace.json").read_text())
    row = {"request_id": "tr-1", "request": "How many", "spans": json.dumps(trace["data"]["spans"])}
    (found,) = read_trajectories([row])
    assert (found.messages, found.task, found.success) == (talk(name="count"), "tr-1", None)


def test_a_value_of_mlflow_that_nests_without_an_end_stays_text(tmp_path: Path) -> None:
    trace = json.loads((LOGS / "mlflow" / "trace.json").read_text())
    for span in trace["data"]["spans"]:
        span["attributes"]["loop"] = "[" * 3000
    file = tmp_path / "trace.json"
    file.write_text(json.dumps(trace))
    assert list(read_trajectories([file])) == list(read_trajectories([LOGS / "mlflow" / "trace.json"]))


def test_weave() -> None:
    found = only("weave", "calls.jsonl")
    assert found.messages == talk(name="count")
    assert (found.id, found.task, found.model, found.tools) == ("w4", "w-1", "demo", TOOLS)


def test_agents_sdk() -> None:
    found = only("agents_sdk", "spans.jsonl")
    assert found.messages == talk(name="count")
    assert (found.id, found.task, found.model) == ("span_4", "trace_1", "demo")


def test_litellm() -> None:
    (found,), report = read("gateways", "litellm.jsonl")
    assert found.messages == talk(name="count")
    assert (found.id, found.task, found.model, found.tools) == ("chatcmpl-2", "l-1", "demo", TOOLS)
    assert (report.repeated, report.problems.count) == (1, 0)  # an embedding is no call of the agent


ERRORS: list[Any] = [
    {"error": {"message": "Rate limit reached", "code": 429}},
    {
        "type": "error",
        "error": {"type": "overloaded_error", "message": "Rate limit reached"},
        "request_id": "r",
    },
    [{"error": {"code": 429, "message": "Rate limit reached", "status": "RESOURCE_EXHAUSTED"}}],
    {"object": "error", "message": "Rate limit reached", "type": "RateLimitError", "code": 429},
]
BARE: list[Any] = [
    {"error": "Rate limit reached"},
    {"statusCode": 429, "error": "x", "message": "Rate limit reached"},
]
EMBEDDINGS: list[Any] = [
    {"object": "list", "data": [{"embedding": [0.1, 0.2]}], "model": "embed"},
    {"embedding": {"values": [0.1, 0.2]}},
]


def logged(answer: Any, kind: str = "acompletion") -> list[dict[str, Any]]:
    """A call of a model with this answer, as LiteLLM, Helicone and LangSmith log it."""
    given = {"messages": [user()]}
    return [
        {"id": "1", "call_type": kind, "response": answer, **given},
        {"request_id": "1", "request_created_at": "x", "request_body": given, "response_body": answer},
        {"id": "1", "trace_id": "1", "run_type": "llm", "inputs": given, "outputs": answer},
    ]


def kept(record: Any, other: Any) -> tuple[list[Trajectory], Report]:
    """What is read of two records; of the first, what is in no trajectory."""
    report = Report()
    return list(read_trajectories([record, other], report=report, strict=True)), report


@pytest.mark.parametrize("answer", [*ERRORS, *BARE, *map(json.dumps, ERRORS), *EMBEDDINGS])
def test_an_error_and_embeddings_are_no_reply_and_are_counted(answer: Any) -> None:
    for record, good in zip(logged(answer), logged({"content": "Twelve.", "model": "demo"}), strict=True):
        (found,), report = kept(record, good)
        assert found.messages == [user(), {"role": "assistant", "content": "Twelve."}]
        (counts,) = report.formats.values()
        assert (counts.records, counts.trajectories) == (2, 1)
        if answer not in EMBEDDINGS:
            assert any(left.characters == len("Rate limit reached") for left in report.left_out.values())


def test_an_answer_in_json_with_an_error_in_it_is_the_agents() -> None:
    answer = '{"error": "no such bay"}'
    for record in logged(answer):
        (found,) = read_trajectories([record])
        assert found.messages[-1] == {"role": "assistant", "content": answer}


@pytest.mark.parametrize(
    "kind", ["aembedding", "amoderation", "atranscription", "arerank", "image_generation"]
)
def test_a_call_of_litellm_that_is_no_chat_gives_no_trajectory(kind: str) -> None:
    good, *_ = logged({"content": "Twelve.", "model": "demo"})
    record, *_ = logged({"text": "Twelve crates."}, kind)
    (found,), report = kept(record, good)
    assert found.messages[-1]["content"] == "Twelve."
    assert report.left_out["litellm", "response.text"].characters == len("Twelve crates.")


@pytest.mark.parametrize("kind", ["acompletion", "aembedding"])
def test_a_failed_call_of_litellm_is_counted_and_an_embedding_is_not(kind: str) -> None:
    good, *_ = logged({"content": "Twelve.", "model": "demo"})
    failed, *_ = logged({}, kind)
    _, report = kept(failed, good)
    assert (report.without_content, report.problems.count) == (int(kind == "acompletion"), 0)


def test_helicone() -> None:
    found = only("gateways", "helicone.jsonl")
    assert found.messages == talk(name="count")
    assert (found.id, found.task, found.success, found.tools) == ("h-1", "h-s", True, TOOLS)


def test_messages_of_pydantic_ai() -> None:
    found = only("pydantic_ai", "messages.json")
    retry = '[{"type": "missing", "loc": ["unit"], "msg": "Field required"}]'
    assert found.messages == [
        SYSTEM,
        {"role": "user", "content": user()["content"] + "[image]"},
        turn(reasoning_content="I count first."),
        result(name="count"),
        {"role": "assistant", "content": "", "tool_calls": [_final()]},
        {"role": "tool", "content": retry, "name": "final_result", "tool_call_id": "c2"},
        ANSWER,
    ]
    assert found.model == "demo"


def test_a_text_that_a_provider_s_tool_gives_pydantic_ai_stays_as_it_is(tmp_path: Path) -> None:
    parts = [
        {"part_kind": "builtin-tool-call", "tool_name": "fetch", "args": {"bay": 4}, "tool_call_id": "c1"},
        {"part_kind": "builtin-tool-return", "content": 'twelve "crates"', "tool_call_id": "c1"},
        {"part_kind": "text", "content": "Twelve."},
    ]
    asked = [{"part_kind": "user-prompt", "content": "Count."}]
    path = tmp_path / "messages.json"
    path.write_text(json.dumps([{"kind": "request", "parts": asked}, {"kind": "response", "parts": parts}]))
    (found,) = read_trajectories(path, strict=True)
    assert [one["content"] for one in found.messages] == ["Count.", "", 'twelve "crates"', "Twelve."]


def _final() -> dict[str, Any]:
    (final,) = call('{"crates": 12}', "c2")
    return final | {"function": final["function"] | {"name": "final_result"}}


def test_events_as_log_records() -> None:
    """The records of a call may stand in two documents, and spans may stand between them."""
    (counted, detailed), report = read("otel", "logs.jsonl")
    told = turn(arguments='{"bay": 4}', reasoning_content="I count first.")
    assert counted.messages == [SYSTEM, user(), told, result(), ANSWER]  # the span's, which has the reasoning
    assert detailed.messages == [user(5), {"role": "assistant", "content": "None."}]
    assert (detailed.model, report.repeated) == ("demo", 2)


def test_a_span_has_the_content_of_its_log_records(tmp_path: Path) -> None:
    lines = (LOGS / "otel" / "logs.jsonl").read_text().splitlines()
    logs = [json.loads(line) for line in lines]
    record = next(
        record
        for one in logs
        for resource in one.get("resourceLogs", [])
        for scope in resource["scopeLogs"]
        for record in scope["logRecords"]
        if str(record.get("eventName")).startswith("gen_ai.")
    )
    kind = {"key": "gen_ai.operation.name", "value": {"stringValue": "chat"}}
    span = {"name": "chat", "traceId": record["traceId"], "attributes": [kind]}
    spans = [{**span, "spanId": record["spanId"]}, {**span, "spanId": "another"}]
    document = {"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]}
    (tmp_path / "logs.jsonl").write_text("\n".join([*lines, json.dumps(document)]))
    report = Report()
    assert len(list(read_trajectories(tmp_path / "logs.jsonl", report=report))) == 2
    assert report.without_content == 1


FOLDERS = (
    "otel",
    "langfuse",
    "langsmith",
    "langchain",
    "mlflow",
    "weave",
    "agents_sdk",
    "gateways",
    "pydantic_ai",
)
FILES = sorted(path for folder in FOLDERS for path in (LOGS / folder).iterdir())


@pytest.mark.parametrize("file", FILES, ids=lambda file: f"{file.parent.name}/{file.name}")
def test_cut_off_files_are_problems(file: Path, tmp_path: Path) -> None:
    text = file.read_text()
    path = tmp_path / file.name
    for part in (3, 2):
        path.write_text(text[: len(text) // part])
        with pytest.raises(TrajectoryError):
            list(read_trajectories(path, strict=True))


@settings(max_examples=200)
@given(data=st.data())
def test_damaged_records_give_trajectories_or_problems(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Whatever stands in the place of one value of a record, nothing but our own error is raised."""
    text = data.draw(st.sampled_from(TEXTS))
    record = json.loads(text)
    node, key = data.draw(st.sampled_from(list(_places(record))))
    node[key] = data.draw(
        st.sampled_from([None, 1, "x", "{", [], {}, [None], [[]], {"a": 1}, ["x"], [{}], "[{}]"])
    )
    path = tmp_path_factory.getbasetemp() / "damaged.json"
    path.write_text(json.dumps(record))
    with contextlib.suppress(TrajectoryError):
        list(read_trajectories(path, report=Report()))


TEXTS = [line for file in FILES if file.suffix == ".jsonl" for line in file.read_text().splitlines()]
TEXTS += [file.read_text() for file in FILES if file.suffix == ".json"]


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield value, key
        yield from _places(item)
