"""Chat logs in all their wrappings: the reply, the calls and the system's text are found where they stand."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lar.errors import TrajectoryError
from lar.trajectories import Report, Trajectory, read_trajectories
from lar.trajectories.draft import solved

SYSTEM = {"role": "system", "content": "You run a warehouse."}
USER = {"role": "user", "content": "How many crates?"}
SAID = {"role": "assistant", "content": "Twelve."}
CALL = {"id": "c1", "type": "function", "function": {"name": "count", "arguments": '{"bay":4}'}}
LIGHT = {"name": "light", "arguments": "{}"}
TOOL = {
    "type": "function",
    "function": {"name": "count", "description": "Count", "parameters": {"type": "object"}},
}


def read_all(record: Any) -> tuple[Trajectory, Report]:
    report = Report()
    [found] = read_trajectories([record], report=report)
    return found, report


def read(record: Any) -> list[dict[str, Any]]:
    """The messages of a record, of which nothing may be left out."""
    found, report = read_all(record)
    assert {path: texts.characters for (_, path), texts in report.left_out.items()} == {}
    return found.messages


REPLIES = {
    "text": "Twelve.",
    "message": SAID,
    "messages": [SAID],
    "nested": {"message": SAID},
    "choices": {"choices": [{"index": 0, "message": SAID}]},
    "choices of text": {"choices": [{"text": "Twelve."}]},
    "choices without a role": {"choices": [{"message": {"content": "Twelve."}}]},
    "content": {"content": "Twelve."},
    "parts": {"role": "assistant", "content": [{"type": "text", "text": "Twelve."}]},
    "body": {"body": {"choices": [{"message": SAID}]}},
    "JSON text": json.dumps({"choices": [{"message": SAID}]}),
    "message as JSON text": json.dumps(SAID),
    "list of one text": ["Twelve."],
    "generated": {"generated_text": "Twelve."},
}


@pytest.mark.parametrize("key", ["output", "response", "outputs", "completion", "reply", "generation"])
@pytest.mark.parametrize("reply", REPLIES.values(), ids=REPLIES)
@pytest.mark.parametrize("request_", ["messages", "request", "input", "inputs", "prompt", "body"])
def test_a_reply_beside_the_request(key, reply, request_):
    asked: Any = [USER] if request_ in ("messages", "prompt", "input") else {"messages": [USER], "model": "m"}
    assert read({request_: asked, key: reply}) == [USER, SAID]


@pytest.mark.parametrize(
    "record",
    [
        {"prompt": "How many crates?", "completion": "Twelve."},
        {"prompt": "How many crates?", "response": "Twelve."},
        {"instruction": "How many crates?", "output": "Twelve."},
        {"instruction": "How many crates?", "input": "", "output": "Twelve."},
        {"messages": json.dumps([USER, SAID])},
        {
            "request": json.dumps({"messages": [USER]}),
            "response": json.dumps({"choices": [{"message": SAID}]}),
        },
        {"prompt": [USER], "chosen": [SAID], "rejected": []},
        {"prompt": "How many crates?", "chosen": "Twelve.", "rejected": ""},
        {"chosen": [USER, SAID], "rejected": []},
    ],
)
def test_questions_and_answers(record):
    assert read(record) == [USER, SAID]


def test_the_rejected_answer_is_left_out_and_counted():
    wrong = {"role": "assistant", "content": "Thirteen."}
    found, report = read_all({"prompt": [USER], "chosen": [SAID], "rejected": [wrong]})
    assert found.messages == [USER, SAID]
    assert {path: texts.characters for (_, path), texts in report.left_out.items()} == {
        "rejected[].content": 9
    }


@pytest.mark.parametrize("key", ["output", "response", "answer"])
def test_the_last_answer_is_not_read_twice(key):
    assert read({"messages": [USER, SAID], key: SAID}) == [USER, SAID]
    assert read({"messages": [USER, SAID], key: "Twelve."}) == [USER, SAID]


def test_another_text_beside_a_whole_conversation_is_named():
    found, report = read_all({"messages": [USER, SAID], "response": "A review of it."})
    assert found.messages == [USER, SAID]
    assert [path for _, path in report.left_out] == ["response"]


@pytest.mark.parametrize(
    "call",
    [
        CALL,
        {"id": "c1", "name": "count", "arguments": '{"bay":4}'},
        {"id": "c1", "name": "count", "args": '{"bay":4}'},
        {"id": "c1", "function": {"name": "count", "parameters": '{"bay":4}'}},
        {"id": "c1", "name": "count", "input": '{"bay":4}'},
        {"call_id": "c1", "tool_name": "count", "params": '{"bay":4}'},
        {"id": "c1", "function": "count", "arguments": '{"bay":4}'},
    ],
)
def test_calls_of_every_dialect(call):
    [_, said] = read({"messages": [USER, {"role": "assistant", "content": None, "tool_calls": [call]}]})
    assert said == {"role": "assistant", "content": "", "tool_calls": [CALL]}


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"bay": 4}, '{"bay": 4}'),
        ("", "{}"),
        (None, "{}"),
        ({}, "{}"),
        ('{"x": 1.50}', '{"x": 1.50}'),
        ("oops", "oops"),
    ],
)
def test_arguments_are_verbatim_and_empty_ones_are_an_object(arguments, text):
    for message in (
        {"role": "assistant", "tool_calls": [{"name": "f", "arguments": arguments}]},
        {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": arguments}},
        {"role": "assistant", "content": [{"type": "tool_use", "name": "f", "input": arguments}]},
    ):
        [_, said] = read({"messages": [USER, message]})
        assert said["tool_calls"][0]["function"] == {"name": "f", "arguments": text}


@pytest.mark.parametrize("role", ["tool_call", "function_call", "tool_calls"])
@pytest.mark.parametrize(
    ("content", "names"),
    [
        ('{"name": "f", "arguments": {"x": 1.50}}', ["f"]),
        ('[{"name": "f", "arguments": {"x": 1.50}} , {"name": "g"}]', ["f", "g"]),
        ('{"name": "f", "arguments": {"x": 1.50}}\n{"name": "g"}', ["f", "g"]),
        ('{"type": "function", "function": {"name": "f", "arguments": {"x": 1.50}}}', ["f"]),
    ],
)
def test_a_role_of_its_own_for_calls(role, content, names):
    for turn in ({"role": role, "content": content}, {"from": role, "value": content}):
        [_, said] = read({"messages": [USER, turn]})
        assert [call["function"]["name"] for call in said["tool_calls"]] == names
        assert said["tool_calls"][0]["function"]["arguments"] == '{"x": 1.50}'
        assert said["content"] == ""


def test_calls_in_messages_of_their_own_belong_to_one_turn():
    turns = [USER, SAID, *({"role": "tool_call", "content": f'{{"name": "{name}"}}'} for name in "fg")]
    [_, said] = read({"messages": turns})
    assert said["content"] == "Twelve."
    assert [call["function"]["name"] for call in said["tool_calls"]] == ["f", "g"]


def test_a_call_that_is_no_json_stays_text():
    [_, said] = read({"messages": [USER, {"role": "tool_call", "content": "count(bay=4)"}]})
    assert said == {"role": "assistant", "content": "count(bay=4)"}


@pytest.mark.parametrize(
    "fields",
    [
        {"reasoning_content": "Hm."},
        {"reasoning": "Hm."},
        {"thinking": "Hm."},
        {"reasoning": {"content": "Hm."}},
        {"reasoning_details": [{"type": "reasoning.text", "text": "Hm."}]},
        {"content": [{"type": "thinking", "thinking": "Hm."}, {"type": "text", "text": "Twelve."}]},
        {"content": [{"type": "reasoning", "reasoning": "Hm."}, {"type": "text", "text": "Twelve."}]},
        {"content": [{"type": "reasoning", "summary": [{"type": "summary_text", "text": "Hm."}]}, "Twelve."]},
    ],
)
def test_reasoning_of_every_dialect(fields):
    [_, said] = read({"messages": [USER, {**SAID, **fields}]})
    assert said == {**SAID, "reasoning_content": "Hm."}


def test_redacted_reasoning_is_left_out_and_counted():
    parts = [{"type": "redacted_thinking", "data": "QUJD"}, {"type": "text", "text": "Twelve."}]
    found, report = read_all({"messages": [USER, {"role": "assistant", "content": parts}]})
    assert found.messages == [USER, SAID]
    assert [path for _, path in report.left_out] == ["messages[].content[].data"]


@pytest.mark.parametrize(
    "exclusion", [{"weight": 0}, {"loss": False}, {"loss_weight": 0.0}, {"train": False}]
)
def test_a_turn_without_loss_is_context(exclusion):
    [_, first, _, second] = read({"messages": [USER, {**SAID, **exclusion}, USER, {**SAID, "weight": 1}]})
    assert first == {**SAID, "weight": 0}
    assert second == SAID


def begun(text: str, reply: Any) -> dict[str, Any]:
    """A record of a request that begins the agent's turn."""
    return {"request": {"messages": [USER, {"role": "assistant", "content": text}]}, "response": reply}


@pytest.mark.parametrize("reply", REPLIES.values(), ids=REPLIES)
@pytest.mark.parametrize("text", ["It is ", "Twelve", "", "The answer (Twelve. or Six.) is "])
def test_a_reply_goes_on_with_the_turn_that_the_request_begins(text, reply):
    whole = "Twelve." if "Twelve.".startswith(text) else f"{text}Twelve."
    assert read(begun(text, reply)) == [USER, {"role": "assistant", "content": whole}]


@pytest.mark.parametrize("key", ["messages", "prompt"])
def test_messages_and_a_message_that_goes_on_with_them(key):
    asked = [USER, {"role": "assistant", "content": [{"type": "text", "text": "It is "}]}]
    [_, said] = read({key: asked, "completion": [{**SAID, "tool_calls": [CALL]}]})
    assert said == {"role": "assistant", "content": "It is Twelve.", "tool_calls": [CALL]}


@pytest.mark.parametrize("said", [SAID, {**SAID, "content": "<think>Bay 4.</think>Twelve.\n"}])
@pytest.mark.parametrize("reply", REPLIES.values(), ids=REPLIES)
def test_a_reply_that_is_in_the_history_is_there_once(said, reply):
    assert read({"request": {"messages": [USER, said]}, "response": reply}) == [USER, said]
    assert read({"messages": [USER, said], "response": reply}) == [USER, said]


def test_a_finished_turn_is_not_continued():
    called = {"role": "assistant", "content": "", "tool_calls": [CALL]}
    again = {**called, "tool_calls": [{**CALL, "id": "c2"}]}
    assert read({"request": {"messages": [USER, called]}, "response": again}) == [USER, called]
    found, report = read_all({"messages": [USER, SAID], "answer": "12"})
    assert found.messages == [USER, SAID]
    assert [path for _, path in report.left_out] == ["answer"]


def answered(*history: Any, reply: Any) -> Any:
    return read({"request": {"messages": [USER, *history]}, "response": reply})


def test_a_reply_to_a_finished_turn_is_another_turn():
    called = {"role": "assistant", "content": "", "tool_calls": [CALL]}
    other = {"role": "assistant", "content": "", "tool_calls": [{**CALL, "id": "c2", "function": LIGHT}]}
    result = {"role": "tool", "tool_call_id": "c1", "content": "12"}
    hello = {"role": "assistant", "content": "Hello! What do you need?"}
    for before, reply in [
        (called, [SAID]),
        (called, [other]),
        (called, [result, SAID]),
        (hello, [SAID]),
        (hello, [other]),
        ({"role": "assistant", "content": "I say: Twelve."}, [SAID]),  # not a turn that holds the reply
    ]:
        assert answered(before, reply=reply) == [USER, before, *reply]


def test_only_the_first_message_of_a_reply_can_be_in_the_history():
    called = {"role": "assistant", "content": "", "tool_calls": [CALL]}
    result = {"role": "tool", "tool_call_id": "c1", "content": "12"}
    assert answered(called, reply=[called, result, SAID]) == [USER, called, result, SAID]
    assert answered(SAID, reply=[{**SAID, "content": "<think>Bay 4.</think>Twelve."}]) == [
        USER,
        {**SAID, "content": "<think>Bay 4.</think>Twelve."},
    ]


@pytest.mark.parametrize("text", ["Twelve crates stand in bay 4, and one more.", "and one more."])
def test_a_turn_that_the_request_says_is_begun_is_continued(text):
    begun = {"role": "assistant", "content": "All in all.", "prefix": True}
    assert answered(begun, reply=f" {text}") == [USER, {**SAID, "content": f"All in all. {text}"}]
    assert answered(begun, reply="Twelve.") == [USER, {**SAID, "content": "All in all.Twelve."}]


@pytest.mark.parametrize("key", ["system", "system_prompt", "instructions"])
@pytest.mark.parametrize("text", ["You run a warehouse.", [{"type": "text", "text": "You run a warehouse."}]])
def test_a_system_text_beside_the_messages(key, text):
    assert read({key: text, "messages": [USER, SAID]}) == [SYSTEM, USER, SAID]
    assert read({"request": {key: text, "messages": [USER]}, "response": SAID}) == [SYSTEM, USER, SAID]


@pytest.mark.parametrize("key", ["tools", "functions", "tool_defs", "available_tools"])
@pytest.mark.parametrize(
    "tool",
    [
        TOOL,
        TOOL["function"],
        {"type": "function", **TOOL["function"]},
        {"name": "count", "description": "Count", "input_schema": {"type": "object"}},
        {"name": "count", "description": "Count", "inputSchema": {"type": "object"}},
        {"functionDeclarations": [TOOL["function"]]},
        {"toolSpec": {"name": "count", "description": "Count", "inputSchema": {"json": {"type": "object"}}}},
    ],
)
def test_tools_of_every_interface(key, tool):
    for tools in ([tool], json.dumps([tool])):
        assert read_all({key: tools, "messages": [USER, SAID]})[0].tools == [TOOL]


@pytest.mark.parametrize(
    "record",
    [
        {"messages": [USER]},
        {"messages": [SYSTEM, USER], "usage": {"note": "nothing came back"}},
        {"messages": [USER, {"role": "assistant", "content": ""}]},
        {"messages": [USER, {"role": "assistant", "content": None}], "error": "overloaded"},
    ],
)
def test_a_record_without_a_turn_of_the_agent_is_a_problem(record):
    with pytest.raises(TrajectoryError, match="no turn of the agent"):
        read(record)


def test_results_among_the_parts_keep_their_order():
    parts = [
        {"type": "text", "text": "Before."},
        {"type": "server_tool_use", "id": "s1", "name": "web_search", "input": {"query": "crates"}},
        {
            "type": "web_search_tool_result",
            "tool_use_id": "s1",
            "content": [{"type": "text", "text": "found"}],
        },
        {"type": "text", "text": "After."},
    ]
    [_, before, result, after] = read({"messages": [USER, {"role": "assistant", "content": parts}]})
    assert (before["content"], before["tool_calls"][0]["function"]["name"]) == ("Before.", "web_search")
    assert result == {"role": "tool", "content": "found", "tool_call_id": "s1"}
    assert after == {"role": "assistant", "content": "After."}
    for excludes in ({"weight": 0}, {"loss": False}, {"weight": 1}):
        context = {"role": "assistant", "content": parts, **excludes}
        weights = [message.get("weight") for message in read({"messages": [USER, context, SAID]})]
        assert weights == ([None] * 5 if excludes == {"weight": 1} else [None, 0, None, 0, None])


OUTCOMES = [
    *((float("nan"), None), ("nan", None), ("pending", None), ("", None), ([1], None)),
    *((1, True), (1.0, True), (True, True), ("1", True), (" 1.0 ", True), ("True", True), ("true", True)),
    *((0, False), (0.2, False), (False, False), ("0", False), ("FALSE", False), ("0.9", False)),
]
REQUEST = {"model": "m", "messages": [USER], "tools": [{"name": "count", "input_schema": {}}]}
WRAPPINGS = {
    "chat": {"messages": [USER, SAID]},
    "responses": {
        "responses_create_params": {"input": [USER]},
        "response": {"output": [{"type": "message", **SAID}]},
    },
    "anthropic": {"request": REQUEST, "response": {"type": "message", **SAID}},
}


@pytest.mark.parametrize("wrapping", WRAPPINGS)
@pytest.mark.parametrize("key", ["success", "resolved", "reward"])
@pytest.mark.parametrize(("value", "success"), OUTCOMES)
def test_an_outcome_however_it_is_written(wrapping, key, value, success):
    found, report = read_all({**WRAPPINGS[wrapping], key: value})
    assert set(report.formats) == {wrapping}
    assert found.success is success
    left = {path for _, path in report.left_out}
    assert (key in left) == (success is None and isinstance(value, str) and value != "")


def test_the_first_outcome_that_is_known_counts():
    record = {"messages": [USER, SAID], "success": "unknown", "resolved": 1, "reward": 0}
    assert read_all(record)[0].success is True


@given(st.booleans() | st.integers() | st.floats(allow_infinity=False), st.sampled_from([str, json.dumps]))
def test_an_outcome_as_text_is_the_outcome(value, written):
    assert solved(written(value)) is solved(value)


def test_ids_may_be_numbers():
    assert read_all({"messages": [USER, SAID], "id": 7})[0].id == "7"


@pytest.mark.parametrize("name", ["status", "status_code", "statusCode", "http_status", "response_status"])
@pytest.mark.parametrize("key", ["response", "output", "completion"])
def test_the_text_of_an_http_error_is_no_reply(name: str, key: str) -> None:
    good = {"request": {"messages": [USER]}, "response": SAID, name: 200}
    bad = {"request": {"messages": [USER]}, key: "503 Service Unavailable", name: 503}
    report = Report()
    [found] = read_trajectories([bad, good], report=report)
    assert found.messages == [USER, SAID]
    assert (report.without_content, report.first_without_content) == (1, "given, record 1")


@pytest.mark.parametrize("status", [200, 399, 600, "503", None, 0])
def test_a_text_beside_another_status_is_a_reply(status: Any) -> None:
    record = {"request": {"messages": [USER]}, "response": "Twelve.", "status": status}
    [found] = read_trajectories([record], report=Report())
    assert found.messages == [USER, SAID]
