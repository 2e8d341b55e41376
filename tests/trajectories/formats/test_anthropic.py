"""Anthropic Messages and Bedrock's Converse: requests with replies, in any wrapping, and streams."""

import base64
import gzip
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lar.trajectories import Report, Trajectory, read_trajectories
from lar.trajectories.formats.interfaces.streams import whole_reply

LOGS = Path(__file__).parents[1] / "logs" / "anthropic"


def call(arguments, identifier="tu_1", name="count"):
    return {"id": identifier, "type": "function", "function": {"name": name, "arguments": arguments}}


def read(name: str, report: Report | None = None) -> list[Trajectory]:
    return list(read_trajectories(LOGS / name, strict=True, report=report))


SYSTEM = {"role": "system", "content": "You run a warehouse."}
ASKED = {"role": "user", "content": "How many crates stand in bay 4?"}
LOOK = {
    "role": "assistant",
    "content": "I look.",
    "reasoning_content": "I must count.",
    "tool_calls": [call('{"bay": 4}')],
}


def test_a_proxys_log_is_one_trajectory():
    report = Report()
    (found,) = read("proxy.jsonl", report)
    assert found.messages == [
        SYSTEM,
        ASKED,
        LOOK,
        {"role": "tool", "content": "12[image]", "tool_call_id": "tu_1"},
        {"role": "user", "content": "And hurry."},
        {"role": "assistant", "content": "Twelve."},
    ]
    assert found.tools is not None
    assert found.tools[0]["function"]["parameters"]["properties"] == {"bay": {"type": "integer"}}
    assert (found.model, report.repeated) == ("claude-demo", 1)


def test_the_events_of_a_stream_are_put_together():
    report = Report()
    (found,) = read("stream.jsonl", report)
    assert not [path for _, path in report.left_out if path.endswith(("text", "thinking", "partial_json"))]
    calls = [call('{"bay": 4.0}'), call("{}", "tu_2")]
    assert found.messages == [SYSTEM, ASKED, LOOK | {"tool_calls": calls}]


def test_an_archive_of_http():
    (found,) = read("proxy.har")
    assert found.messages == [
        SYSTEM,
        ASKED,
        _without_thought(),
    ]


def _without_thought():
    return {key: value for key, value in LOOK.items() if key != "reasoning_content"}


def test_a_log_of_bedrock():
    (found,) = read("bedrock.jsonl")
    assert found.messages == [
        SYSTEM,
        {"role": "user", "content": "How many crates stand in bay 4?[image]"},
        _without_thought(),
        {"role": "tool", "content": '{"n": 12}', "tool_call_id": "tu_1"},
        {"role": "assistant", "content": "Twelve.", "reasoning_content": "Twelve it is."},
    ]
    assert found.tools is not None
    assert found.tools[0]["function"]["name"] == "count"


def test_the_reply_of_an_exchange_is_read(shared):
    path = shared / "faults" / "03-anthropic-exchange-reply-and-system-lost.jsonl"
    (found,) = read_trajectories(path, strict=True)
    assert found.messages == [SYSTEM, ASKED, _without_thought()]


REQUEST = {"model": "m", "max_tokens": 9, "system": "You run a warehouse.", "messages": [ASKED]}
PARTS = [
    {"type": "text", "text": "I look."},
    {"type": "tool_use", "id": "tu_1", "name": "count", "input": {"bay": 4}},
]
REPLY = {
    "id": "x",
    "type": "message",
    "role": "assistant",
    "model": "m",
    "content": PARTS,
    "stop_reason": "tool_use",
}


@pytest.mark.parametrize(
    "record",
    [
        {"request": REQUEST, "response": REPLY},
        {"request": {"body": REQUEST}, "response": {"body": REPLY}},
        {"request": json.dumps(REQUEST), "response": json.dumps(REPLY)},
        {"request": {"url": "u", "body": json.dumps(REQUEST)}, "response": {"body": json.dumps(REPLY)}},
        {"requestBody": REQUEST, "responseBody": REPLY},
        {"body": REQUEST, "response": REPLY},
        {"input": REQUEST, "output": REPLY},
        {"inputs": REQUEST, "outputs": REPLY},
        {**REQUEST, "response": REPLY},
        {"request": REQUEST, "response": {"message": REPLY}},
        {"request": REQUEST, "response": {"content": PARTS, "stop_reason": "tool_use"}},
        {"request": {**REQUEST, "system": [{"type": "text", "text": SYSTEM["content"]}]}, "response": REPLY},
        [REQUEST, REPLY],
        [{"request": REQUEST, "response": REPLY}],
        {"exchanges": [{"request": REQUEST, "response": REPLY}], "session": "s"},
    ],
)  # fmt: skip
def test_a_request_and_its_reply_in_any_wrapping(tmp_path, record):
    path = tmp_path / "log.jsonl"
    path.write_text(json.dumps(record) + "\n")
    (found,) = read_trajectories(path, strict=True)
    assert found.messages == [SYSTEM, ASKED, _without_thought()]
    assert found.model == "m"


def test_a_reply_goes_on_with_what_the_request_begins(tmp_path):
    begun = {**REQUEST, "messages": [ASKED, {"role": "assistant", "content": "I"}]}
    path = tmp_path / "log.jsonl"
    reply = {**REPLY, "content": [{"type": "text", "text": " look."}, PARTS[1]]}
    path.write_text(json.dumps({"request": begun, "response": reply}) + "\n")
    (found,) = read_trajectories(path, strict=True)
    assert found.messages == [SYSTEM, ASKED, _without_thought()]


def test_a_list_of_pairs_in_a_document(tmp_path):
    other = {**REQUEST, "messages": [{"role": "user", "content": "And bay 5?"}]}
    path = tmp_path / "log.json"
    path.write_text(json.dumps([[REQUEST, REPLY], [other, REPLY]], indent=1))
    assert len(list(read_trajectories(path, strict=True))) == 2


def test_a_reply_that_is_only_text(tmp_path):
    path = tmp_path / "log.jsonl"
    path.write_text(json.dumps({"request": REQUEST, "response": "Twelve."}) + "\n")
    (found,) = read_trajectories(path, strict=True)
    assert found.messages == [SYSTEM, ASKED, {"role": "assistant", "content": "Twelve."}]


def test_a_stream_of_openai_chat_is_put_together(tmp_path):
    deltas = [
        {"role": "assistant", "content": "I "},
        {"content": "look."},
        {"tool_calls": [{"index": 0, "id": "tu_1", "function": {"name": "count", "arguments": ""}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": '{"bay":'}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": " 4}"}}]},
    ]
    chunks = [
        {"object": "chat.completion.chunk", "choices": [{"index": 0, "delta": delta}]} for delta in deltas
    ]
    text = "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks) + "data: [DONE]\n\n"
    record = {"request": {"model": "m", "messages": [ASKED]}, "response": {"body": text}}
    path = tmp_path / "log.jsonl"
    path.write_text(
        "".join(json.dumps({**record, "response": reply}) + "\n" for reply in (record["response"], chunks))
    )
    (found,) = read_trajectories(path, strict=True)
    assert found.messages == [ASKED, _without_thought()]


CALLS = st.lists(
    st.tuples(st.sampled_from("fgh"), st.lists(st.text("ab", min_size=1), max_size=3)), max_size=4
)


def _streamed(deltas):
    """The calls of a stream of `deltas`, each of one call, as (id, name, arguments)."""
    chunks = [
        {"object": "chat.completion.chunk", "choices": [{"index": 0, "delta": {"tool_calls": [delta]}}]}
        for delta in deltas
    ]
    chunks += [{"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]}] if chunks else []
    calls = whole_reply(chunks).get("tool_calls", []) if chunks else []
    return [(call["id"], call["name"], call["arguments"]) for call in calls]


@given(CALLS, st.sampled_from([{"index": 0}, {"index": None}, {}, None]))
def test_calls_of_one_index_are_told_apart_by_their_ids(calls, place):
    deltas = []
    for number, (name, pieces) in enumerate(calls):
        at = {"index": number} if place is None else place
        deltas.append({**at, "id": f"c{number}", "function": {"name": name, "arguments": ""}})
        deltas += [{**at, "function": {"arguments": piece}} for piece in pieces]
    assert _streamed(deltas) == [
        (f"c{number}", name, "".join(pieces)) for number, (name, pieces) in enumerate(calls)
    ]


def test_the_deltas_of_a_call_may_repeat_its_id_or_have_an_empty_one():
    begin = {"index": 0, "id": "c1", "function": {"name": "f", "arguments": "{"}}
    deltas = [begin, {"index": 0, "id": "c1", "function": {"arguments": "}"}}, {"index": 0, "id": ""}]
    assert _streamed(deltas) == [("c1", "f", "{}")]


def test_calls_without_index_and_id_are_told_apart_by_their_names():
    deltas = [{"function": {"name": name, "arguments": "{}"}} for name in "fg"]
    assert _streamed(deltas) == [(None, "f", "{}"), (None, "g", "{}")]


# Signs at which `str.splitlines` parts a text, and which JSON need not escape.
@pytest.mark.parametrize("sign", ["\u2028", "\u2029", "\x85"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_a_stream_is_parted_at_the_ends_of_its_lines_alone(sign, end):
    texts = ["Twelve ", f"crates{sign}in ", "bay 4."]
    chunks = [
        {"object": "chat.completion.chunk", "choices": [{"index": 0, "delta": {"content": text}}]}
        for text in texts
    ]
    lines = "".join(f"data: {json.dumps(chunk, ensure_ascii=False)}{end}{end}" for chunk in chunks)
    report = Report()
    (found,) = read_trajectories([{"request": CHAT, "response": lines}], strict=True, report=report)
    assert found.messages == [ASKED, {"role": "assistant", "content": "".join(texts)}]
    assert report.left_out == {}


CHAT = {"model": "m", "messages": [ASKED]}
COMPLETION = {"choices": [{"message": {"role": "assistant", "content": "Twelve."}}]}
ZIPPED = base64.b64encode(gzip.compress(json.dumps(COMPLETION).encode())).decode()
ENTRY = {
    "request": {"postData": {"text": json.dumps(CHAT)}},
    "response": {"content": {"text": json.dumps(COMPLETION)}},
}


@pytest.mark.parametrize(
    "record",
    [
        [CHAT, COMPLETION],
        {"exchanges": [{"request": CHAT, "response": COMPLETION}], "session": "s"},
        {"request": {"body": json.dumps(CHAT)}, "response": {"body": json.dumps(COMPLETION)}},
        {"log": {"entries": [ENTRY]}},
        {"log": {"entries": [ENTRY | {"response": {"content": {"encoding": "base64", "text": ZIPPED}}}]}},
    ],
)
def test_openai_chat_in_the_same_wrappings(tmp_path, record):
    path = tmp_path / "log.jsonl"
    path.write_text(json.dumps(record) + "\n")
    (found,) = read_trajectories(path, strict=True)
    assert found.messages == [ASKED, {"role": "assistant", "content": "Twelve."}]


def test_a_request_whose_reply_failed_is_one_clear_problem(tmp_path):
    error = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
    path = tmp_path / "log.jsonl"
    lines = [{"request": {**REQUEST, "tools": [{"name": "f", "input_schema": {}}]}, "response": error}]
    lines.append({"request": REQUEST, "response": REPLY})
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    report = Report()
    assert len(list(read_trajectories(path, report=report))) == 1
    assert [problem.line for problem in report.problems.records] == [1]


def test_what_a_program_of_the_model_calls_is_not_the_models():
    """The model writes the program and reads what it prints, and nothing between the two."""
    program = {"type": "server_tool_use", "id": "p1", "name": "code_execution", "input": {"code": "count(4)"}}
    inner = {"type": "tool_use", "id": "c1", "name": "count", "input": {"bay": 4}}
    caller = {"type": "code_execution_20250825", "tool_id": "p1"}
    fetched = {"type": "web_fetch_tool_result", "tool_use_id": "f1", "content": "a page", "caller": caller}
    fetch = {"type": "server_tool_use", "id": "f1", "name": "web_fetch", "input": {}, "caller": caller}
    printed = {"type": "code_execution_tool_result", "tool_use_id": "p1", "content": "12"}
    text = {"type": "text", "text": "Twelve."}
    record = {
        "messages": [
            ASKED,
            {"role": "assistant", "content": [program, inner | {"caller": caller}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c1", "content": "twelve"}]},
        ],
        "response": {"type": "message", "role": "assistant", "content": [fetch, fetched, printed, text]},
    }
    report = Report()
    (found,) = read_trajectories([record], strict=True, report=report)
    written = call('{"code": "count(4)"}', "p1", "code_execution")
    assert found.messages == [
        ASKED,
        {"role": "assistant", "content": "", "tool_calls": [written]},
        {"role": "tool", "content": "12", "tool_call_id": "p1"},
        {"role": "assistant", "content": "Twelve."},
    ]
    left = {path: texts.characters for (_, path), texts in report.left_out.items()}
    assert left["messages[].content[].content"] == len("twelve")
    record["messages"][1]["content"][1] = inner | {"caller": {"type": "direct"}}
    (found,) = read_trajectories([record], strict=True)
    assert [made["function"]["name"] for made in found.messages[1]["tool_calls"]] == [
        "code_execution",
        "count",
    ]
