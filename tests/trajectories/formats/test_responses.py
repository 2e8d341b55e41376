"""OpenAI Responses: items become turns, and requests with responses become trajectories."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lar.errors import TrajectoryError
from lar.trajectories import Report, Trajectory, read_trajectories
from lar.trajectories.dialects.messages import normalize_messages
from lar.trajectories.dialects.responses import turns_of_items

LOGS = Path(__file__).parents[1] / "logs" / "responses"


def call(name, arguments, identifier):
    return {"id": identifier, "type": "function", "function": {"name": name, "arguments": arguments}}


def user(text):
    return {"role": "user", "content": text}


def said(text, **more):
    return {"role": "assistant", "content": text, **more}


def tool(text, identifier):
    return {"role": "tool", "content": text, "tool_call_id": identifier}


def read(name: str, report: Report | None = None) -> list[Trajectory]:
    return list(read_trajectories(LOGS / name, strict=True, report=report))


SYSTEM = {"role": "system", "content": "You run a warehouse."}
ASKED = user("How many crates stand in bay 4?")
COUNT = said(
    "",
    reasoning_content="I must count.",
    tool_calls=[call("count", '{"bay": 4.0}', "c1"), call("count", '{"bay":5}', "c2")],
)
SCHEMA = {
    "type": "function",
    "function": {
        "name": "count",
        "description": "Count crates",
        "parameters": {"type": "object", "properties": {"bay": {"type": "integer"}}},
    },
}


def test_a_proxys_log_is_one_trajectory():
    report = Report()
    (found,) = read("proxy.jsonl", report)
    assert found.messages == [
        SYSTEM,
        ASKED,
        COUNT,
        tool("12", "c1"),
        tool("none[image]", "c2"),
        said("Twelve."),
    ]
    assert (found.model, found.tools, report.repeated) == ("gpt-demo", [SCHEMA], 1)


def test_a_rollout_of_nemo_gym():
    right, wrong, stepwise = read("nemo_gym.jsonl")
    assert right.messages == [ASKED, COUNT, tool("12", "c1"), tool("0", "c2"), said("Twelve.")]
    assert wrong.messages == [ASKED, said("Eleven.")]
    # The output holds the whole conversation at each step; only the last one is read.
    assert stepwise.messages == [
        ASKED,
        said("", tool_calls=[call("count", "{}", "c1")]),
        tool("?", "c1"),
        said("Nobody can count them."),
    ]
    assert [run.success for run in (right, wrong, stepwise)] == [True, False, False]
    assert {run.task for run in (right, wrong, stepwise)} == {"chat/bay-4"}


def test_a_tool_of_the_provider_ends_a_turn():
    (found,) = read("hosted.jsonl")
    assert found.messages[1:] == [
        said(
            "",
            reasoning_content="Search first.",
            tool_calls=[call("web_search", '{"type": "search", "query": "crates"}', "ws_1")],
        ),
        said("", tool_calls=[call("count", '{"bay":4}', "mcp_1")]),
        tool("12", "mcp_1"),
        said("", tool_calls=[call("code_interpreter", '{"code": "print(12)"}', "ci_1")]),
        tool('[{"type": "logs", "logs": "12\\n"}]', "ci_1"),
        said("Twelve.\n\nShall I go on?"),
    ]


def test_a_response_without_its_request():
    (found,) = read("alone.json")
    assert found.messages == [{"role": "system", "content": "Be brief."}, said("Alone.")]


@pytest.mark.parametrize("name", ["items.json", "item_lines.jsonl"])
def test_items_without_a_response(name):
    (found,) = read(name)
    assert found.messages == [
        user("Count."),
        said("", tool_calls=[call("count", "{}", "c")]),
        tool("3", "c"),
        said("Three."),
    ]


def test_a_response_that_names_the_one_before_is_read_with_it():
    report = Report()
    (found,) = read("chained.jsonl", report)
    assert [message["content"] for message in found] == ["How many?", "", "3", "Three.", "And now?", "Four."]
    assert report.repeated == 2


def test_the_reply_of_a_rollout_is_read(shared):
    (found,) = read_trajectories(shared / "faults" / "01-responses-api-reply-lost.jsonl", strict=True)
    assert found.messages == [
        SYSTEM,
        ASKED,
        said(
            "",
            reasoning_content="I must count bay 4.",
            tool_calls=[call("count", '{"bay":4}', "call_1")],
        ),
        tool('{"n": 12}', "call_1"),
        said("Twelve crates stand in bay 4."),
    ]
    assert found.success is True


REQUEST = {"model": "m", "instructions": "Be brief.", "input": "How many?"}
OUTPUT = [
    {"type": "reasoning", "summary": [], "content": [{"type": "reasoning_text", "text": "Hm."}]},
    {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Three."}]},
]
RESPONSE = {"id": "r", "object": "response", "model": "m", "output": OUTPUT}
EVENTS = "".join(
    f"event: {event['type']}\ndata: {json.dumps(event)}\n\n"
    for event in (
        {"type": "response.created", "response": {**RESPONSE, "output": []}},
        {"type": "response.output_item.done", "output_index": 0, "item": OUTPUT[0]},
        {"type": "response.output_text.delta", "delta": "Three"},
        {"type": "response.output_item.done", "output_index": 1, "item": OUTPUT[1]},
    )
)


@pytest.mark.parametrize(
    "record",
    [
        {"request": REQUEST, "response": RESPONSE},
        {"request": {"body": REQUEST}, "response": {"status": 200, "body": RESPONSE}},
        {"request": json.dumps(REQUEST), "response": json.dumps(RESPONSE)},
        {"request": {"body": json.dumps(REQUEST)}, "response": {"body": json.dumps(RESPONSE)}},
        {"request_body": REQUEST, "response_body": RESPONSE},
        {"body": REQUEST, "response": {"body": RESPONSE}},
        {"kwargs": REQUEST, "response": RESPONSE},
        {**REQUEST, "output": OUTPUT},
        {**REQUEST, "output": json.dumps(OUTPUT)},
        {**REQUEST, "response": RESPONSE},
        {"request": REQUEST, "response": OUTPUT},
        {"request": REQUEST, "output": {"output": OUTPUT}},
        {"request": REQUEST, "response": {"type": "response.completed", "response": RESPONSE}},
        {"request": REQUEST, "response": EVENTS},
        {"request": REQUEST, "response": {"headers": {}, "body": EVENTS}},
        {"request": REQUEST, "response": EVENTS.splitlines()},
        {"responses_create_params": REQUEST, "response": RESPONSE, "reward": 0.5},
        [REQUEST, RESPONSE],
        {"model": "m", "instructions": "Be brief.", "messages": [user("How many?")], "response": RESPONSE},
        {"responses_create_params": json.dumps(REQUEST), "response": json.dumps(RESPONSE)},
        {"calls": [{"request": REQUEST, "response": RESPONSE}]},
        {"log": {"entries": [{"request": {"postData": {"text": json.dumps(REQUEST)}},
                              "response": {"content": {"text": json.dumps(RESPONSE)}}}]}},
    ],
)  # fmt: skip
def test_a_request_and_its_response_in_any_wrapping(tmp_path, record):
    path = tmp_path / "log.jsonl"
    path.write_text(json.dumps(record) + "\n")
    (found,) = read_trajectories(path, strict=True)
    assert found.messages == [
        {"role": "system", "content": "Be brief."},
        user("How many?"),
        said("Three.", reasoning_content="Hm."),
    ]
    assert found.model == "m"


def test_a_request_without_a_response_has_its_history(tmp_path):
    path = tmp_path / "log.jsonl"
    history = [user("How many?"), said("Three."), user("And now?")]
    path.write_text(json.dumps({"responses_create_params": {"input": history}, "reward": None}) + "\n")
    (found,) = read_trajectories(path, strict=True)
    assert found.messages == history


def test_a_reply_that_is_only_text(tmp_path):
    path = tmp_path / "log.jsonl"
    path.write_text(json.dumps({"request": REQUEST, "response": "Three."}) + "\n")
    (found,) = read_trajectories(path, strict=True)
    assert found.messages[1:] == [user("How many?"), said("Three.")]


def test_a_table_pads_items_with_nulls(tmp_path):
    rows = [{"responses_create_params": {"input": [user("Count.")]}, "reward": 1.0,
             "response": {"object": "response", "output": [
                 {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
                 {"type": "function_call_output", "call_id": "c", "output": "3"}, *OUTPUT]}}]  # fmt: skip
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "log.parquet")
    (found,) = read_trajectories(tmp_path / "log.parquet", strict=True)
    assert found.messages == [
        user("Count."),
        said("", tool_calls=[call("f", "{}", "c")]),
        tool("3", "c"),
        said("Three.", reasoning_content="Hm."),
    ]
    padded = [{**dict.fromkeys(("role", "content", "summary", "output")), **item} for item in OUTPUT]
    assert turns(*padded) == [said("Three.", reasoning_content="Hm.")]


def test_mini_swe_agent_with_responses(tmp_path):
    record = {
        "info": {"mini_version": "2.0", "config": {"model": {"model_name": "m"}}},
        "instance_id": "x__y-1",
        "messages": [
            {"role": "system", "content": "You work in a shell."},
            {"role": "user", "content": "Fix it."},
            {"object": "response", "id": "r", "output": [*OUTPUT, {"type": "function_call", "call_id": "c",
             "name": "bash", "arguments": '{"command":"ls"}'}], "extra": {"cost": 0.1}},
            {"type": "function_call_output", "call_id": "c", "output": "a.py", "extra": {}},
        ],
    }  # fmt: skip
    path = tmp_path / "x.traj.json"
    path.write_text(json.dumps(record))
    (found,) = read_trajectories(path, strict=True)
    assert found.messages[2:] == [
        said("Three.", reasoning_content="Hm.", tool_calls=[call("bash", '{"command":"ls"}', "c")]),
        tool("a.py", "c"),
    ]
    assert found.task == "swe/x__y-1"


def turns(*items):
    return normalize_messages(turns_of_items(list(items)))


def test_consecutive_items_of_the_model_are_one_turn():
    function = {"type": "function_call", "call_id": "a", "name": "f", "arguments": " {} "}
    assert turns(OUTPUT[0], function, OUTPUT[1], OUTPUT[0]) == [
        said("Three.", reasoning_content="Hm.\n\nHm.", tool_calls=[call("f", " {} ", "a")])
    ]


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        ({"type": "shell_call", "action": {"commands": ["ls"]}}, call("shell", '{"commands": ["ls"]}', "i")),
        (
            {"type": "computer_call", "action": {"type": "click", "x": 1}},
            call("computer", '{"type": "click", "x": 1}', "i"),
        ),
        (
            {"type": "apply_patch_call", "operation": {"type": "delete_file"}},
            call("apply_patch", '{"type": "delete_file"}', "i"),
        ),
        ({"type": "function_call", "name": "f", "arguments": ""}, call("f", "{}", "i")),
        ({"type": "custom_tool_call", "name": "f", "input": "raw"}, call("f", '{"input": "raw"}', "i")),
        (
            {"type": "function_call", "name": "f", "namespace": "mcp__s__", "arguments": "{}"},
            call("mcp__s__f", "{}", "i"),
        ),
    ],
)
def test_every_kind_of_call(item, expected):
    assert turns({"call_id": "i", **item}) == [said("", tool_calls=[expected])]


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        ("text", "text"),
        ([{"type": "output_text", "text": "a"}, {"type": "input_image", "image_url": "x"}], "a[image]"),
        ({"type": "computer_screenshot", "image_url": "x"}, "[image]"),
        ([{"stdout": "a", "outcome": {"exit_code": 0}}], '[{"stdout": "a", "outcome": {"exit_code": 0}}]'),
        (None, ""),
    ],
)
def test_every_kind_of_output(output, expected):
    assert turns({"type": "function_call_output", "call_id": "i", "output": output}) == [tool(expected, "i")]


def test_items_without_text_are_left_out():
    unknown = {"type": "compaction", "encrypted_content": "x"}, {"type": "item_reference", "id": "y"}
    assert turns(*unknown, user("Hi."), {"type": "reasoning", "summary": []}, OUTPUT[1]) == [
        user("Hi."),
        said("Three."),
    ]


@pytest.mark.parametrize(
    "items", [None, {"type": "message"}, [1], [{"type": "function_call", "arguments": "{}"}]]
)
def test_what_are_no_items(items):
    with pytest.raises(TrajectoryError):
        turns_of_items(items)


def test_what_a_program_of_the_model_calls_is_not_the_models():
    """The model writes the program and reads what it prints, and nothing between the two."""
    caller = {"type": "program", "caller_id": "p1"}
    program = {"type": "program", "id": "i1", "call_id": "p1", "code": "text(await tools.count({bay: 4}))"}
    inner = {"type": "function_call", "call_id": "c1", "name": "count", "arguments": '{"bay":4}'}
    items = [
        ASKED,
        program,
        inner | {"caller": caller},
        {"type": "function_call_output", "call_id": "c1", "output": "twelve crates"},
        {"type": "program_output", "call_id": "p1", "result": "12"},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Twelve."}]},
    ]
    report = Report()
    (found,) = read_trajectories([{"input": items[:5], "output": items[5:]}], report=report, strict=True)
    written = call("programmatic_tool_calling", json.dumps({"code": program["code"]}), "p1")
    assert found.messages == [ASKED, said("", tool_calls=[written]), tool("12", "p1"), said("Twelve.")]
    left = {path: texts.characters for (_, path), texts in report.left_out.items()}
    assert left["input[].output"] == len("twelve crates")
    assert left["input[].arguments"] > 0
    direct = normalize_messages(turns_of_items([ASKED, inner | {"caller": {"type": "direct"}}]))
    assert direct[1] == said("", tool_calls=[call("count", '{"bay":4}', "c1")])


def test_a_call_of_a_kind_that_one_provider_has():
    item = {"type": "x_search_call", "id": "x1", "name": "x_search", "arguments": '{"query":"bay"}'}
    assert normalize_messages(turns_of_items([ASKED, {**item, "role": None}])) == [
        ASKED,
        said("", tool_calls=[call("x_search", '{"query":"bay"}', "x1")]),
    ]
