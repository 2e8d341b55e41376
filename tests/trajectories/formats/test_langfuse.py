"""Langfuse's exports: traces with observations, and rows."""

import json
from pathlib import Path
from typing import Any

import pytest

from lar.errors import TrajectoryError
from lar.trajectories import Report, read_trajectories
from tests.trajectories.formats.bay import ANSWER, LOGS, SYSTEM, TOOLS, call, only, read, talk, user


def test_trace_with_its_observations() -> None:
    found = only("langfuse", "trace.json")
    assert found.messages == talk(name="count")
    assert (found.id, found.task, found.model) == ("obs-3", "trace-1", "demo")
    assert found.tools == TOOLS  # of the generation that it goes on from
    assert found.success is True  # the trace's; that of the first generation is about that step alone


def test_rows_of_observations() -> None:
    (counted, gemini, items, anthropic, structured), report = read("langfuse", "observations.jsonl")
    assert (counted.messages, counted.tools, counted.task) == (talk(name="count"), TOOLS, "trace-1")

    def told(arguments: str, name: str | None) -> dict[str, Any]:
        calls = call(arguments, name)
        return {"role": "assistant", "content": "", "reasoning_content": "I count.", "tool_calls": calls}

    assert gemini.messages == [SYSTEM, user(5), told('{"bay": 5}', None)]
    assert items.messages == [SYSTEM, user(6), told('{"bay":6}', "c6")]
    assert anthropic.messages == [SYSTEM, user(7), told('{"bay": 7}', "c7")]
    assert gemini.tools == items.tools == anthropic.tools == TOOLS
    assert structured.messages == [user(8), {"role": "assistant", "content": '{"bay": 8, "crates": 3}'}]
    assert report.problems.count == 0
    assert report.formats["langfuse_observation"].records == 7


def test_trace_as_a_row() -> None:
    """The output is the whole conversation, which counts once."""
    found = only("langfuse", "traces.json")
    assert found.messages == talk(name="count")
    assert (found.id, found.task, found.success) == ("trace-8", "trace-8", False)


@pytest.mark.parametrize("wrap", [list, json.dumps])
@pytest.mark.parametrize(("value", "success"), [(1, True), (0, False), (0.5, False)])
def test_a_trace_with_few_columns_is_told_by_its_scores(wrap: Any, value: float, *, success: bool) -> None:
    scores = [{"name": "resolved", "value": value, "dataType": "NUMERIC"}]
    row = {"id": "t", "timestamp": "2026-10-09", "input": [user()], "output": {**ANSWER}, "name": "run"}
    report = Report()
    (found,) = read_trajectories([row | {"scores": wrap(scores)}], report=report)
    assert found.messages == [user(), ANSWER]
    assert (found.task, found.success, list(report.formats)) == ("t", success, ["langfuse"])
    report = Report()
    (found,) = read_trajectories([row | {"scores": [{"name": "resolved", "value": value}]}], report=report)
    assert (found.success, list(report.formats)) == (None, ["chat"])


def test_trace_without_generations() -> None:
    """Its own input and output are read, else those of its outermost observation."""
    about = {"id": "t", "timestamp": "2026-10-09", "htmlPath": "/t", "input": None, "output": None}
    root = {"id": "o", "traceId": "t", "type": "AGENT", "input": "Hi", "output": "Hello!"}
    inner = {
        "id": "i",
        "traceId": "t",
        "type": "SPAN",
        "parentObservationId": "o",
        "input": "A",
        "output": "B",
    }
    own = about | {"input": "Ho", "output": "Hey!"}
    for trace, texts in ((about, ["Hi", "Hello!"]), (own, ["Ho", "Hey!"])):
        (found,) = read_trajectories([trace | {"observations": [inner, root]}])
        assert [message["content"] for message in found] == texts


REPLIES = [
    "Hello!",
    {"role": "assistant", "content": "Hello!"},
    [{"role": "assistant", "content": "Hello!"}],
    {"choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello!"}}]},
    {"message": {"role": "assistant", "content": "Hello!"}, "done": True, "model": "m"},
    {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello!"}]},
    {"output": "Hello!"},
    {"completion": "Hello!", "stop_reason": "stop_sequence"},
    {"text": "Hello!", "finish_reason": "stop"},
    {"content": [{"type": "text", "text": "Hello!"}], "stop_reason": "end_turn"},
    {"content": {"role": "model", "parts": [{"text": "Hello!"}]}, "finish_reason": "STOP"},
    {"candidates": [{"content": {"parts": [{"text": "Hello!"}]}}]},
    {"output": {"message": {"role": "assistant", "content": [{"text": "Hello!"}]}}, "stopReason": "end_turn"},
    {"generations": [[{"text": "Hello!", "message": {"type": "ai", "content": "Hello!"}}]]},
    {"type": "AIMessageChunk", "content": "Hello!", "tool_calls": []},
    {"object": "response", "output": [
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Hello!"}]}]},
    ["Hello!"],
    [{"object": "chat.completion.chunk", "choices": [{"index": 0, "delta": {"content": text}}]}
     for text in ("Hel", "lo!")],
]  # fmt: skip
# Without anything of a response beside it, this would be JSON that the agent wrote.
AS_TEXT = [json.dumps(reply) for reply in REPLIES if reply != {"output": "Hello!"}]


@pytest.mark.parametrize("key", ["output", "outputs", "response", "completion"])
@pytest.mark.parametrize("reply", [*REPLIES, *AS_TEXT], ids=lambda reply: json.dumps(reply)[:60])
def test_reply_of_every_form_under_every_name(reply: Any, key: str) -> None:
    row = {"id": "o", "traceId": "t", "type": "GENERATION", "level": "DEFAULT", "input": "Hi"}
    for value in (row, {"id": "t", "observations": [row]}):
        row[key] = reply
        (found,) = read_trajectories([value])
        assert [message["content"] for message in found] == ["Hi", "Hello!"]
        assert [message["role"] for message in found] == ["user", "assistant"]


@pytest.mark.parametrize(
    "text", ['{"crates": 3}', '{"text": "3"}', "[1, 2]", '{"reasoning": "x", "output": "3"}']
)
def test_json_that_the_agent_wrote_stays_as_it_is(text: str) -> None:
    row = {"id": "o", "traceId": "t", "type": "GENERATION", "input": "Hi", "output": text}
    (found,) = read_trajectories([row])
    assert found.messages[1]["content"] == text


INPUTS = [
    [SYSTEM, user()],
    {"messages": [SYSTEM, user()]},
    {"system": SYSTEM["content"], "messages": [user()]},
    {"system": [{"type": "text", "text": SYSTEM["content"]}], "messages": [user()]},
    {"instructions": SYSTEM["content"], "input": user()["content"]},
    {"config": {"system_instruction": SYSTEM["content"]}, "contents": user()["content"]},
    {"systemInstruction": {"parts": [{"text": SYSTEM["content"]}]},
     "contents": [{"role": "user", "parts": [{"text": user()["content"]}]}]},
    {"kwargs": {"messages": [SYSTEM, user()]}, "args": []},
    {"messages": [[{"type": "system", "content": SYSTEM["content"]},
                   {"type": "human", "content": user()["content"]}]]},
    [{"role": "system", "parts": [{"type": "text", "content": SYSTEM["content"]}]},
     {"role": "user", "parts": [{"type": "text", "content": user()["content"]}]}],
]  # fmt: skip


@pytest.mark.parametrize("as_text", [False, True])
@pytest.mark.parametrize("given", INPUTS, ids=lambda given: json.dumps(given)[:60])
def test_input_of_every_form(given: Any, as_text: bool) -> None:
    given = json.dumps(given) if as_text else given
    row = {"id": "o", "traceId": "t", "type": "GENERATION", "input": given, "output": ANSWER}
    (found,) = read_trajectories([row])
    assert found.messages == [SYSTEM, user(), ANSWER]


def test_what_is_no_message_among_messages_is_a_problem() -> None:
    row = {"id": "o", "traceId": "t", "type": "GENERATION", "output": ANSWER}
    (found,) = read_trajectories([row | {"input": [SYSTEM, None, user()]}])
    assert found.messages == [SYSTEM, user(), ANSWER]
    with pytest.raises(TrajectoryError, match="message 2 has no known form"):
        list(read_trajectories([row | {"input": [SYSTEM, {"x": 1}, user()]}]))


def test_tools_where_observations_have_them() -> None:
    row = {"id": "o", "traceId": "t", "type": "GENERATION", "input": "Hi", "output": "Hello!"}
    function = TOOLS[0]["function"]
    for place in (
        {
            "tool_definitions": {
                "count": json.dumps({key: function[key] for key in ("description", "parameters")})
            }
        },
        {"metadata": {"attributes": {"gen_ai.tool.definitions": json.dumps(TOOLS)}}},
        {"metadata": json.dumps({"attributes": {"llm.tools.0.tool.json_schema": json.dumps(TOOLS[0])}})},
        {"input": [{"role": "user", "content": "Hi"}, {"role": "tool", "content": TOOLS[0]}]},
    ):
        (found,) = read_trajectories([row | place])
        assert found.tools == TOOLS
        assert [message["content"] for message in found] == ["Hi", "Hello!"]


def test_tools_of_the_agent_around_a_generation() -> None:
    agent = {"id": "a", "traceId": "t", "type": "AGENT", "level": "DEFAULT"}
    agent["metadata"] = {"attributes": {"gen_ai.tool.definitions": json.dumps(TOOLS)}}
    row = {"id": "o", "traceId": "t", "type": "GENERATION", "input": "Hi", "output": "Hello!"}
    rows = [agent, row | {"parentObservationId": "a"}, row | {"id": "p", "input": "Ho"}]
    inside, outside = read_trajectories([{"id": "t", "observations": rows}])
    assert (inside.tools, outside.tools) == (TOOLS, None)


def test_calls_recorded_twice_and_calls_that_failed() -> None:
    document = json.loads((LOGS / "langfuse" / "trace.json").read_text())
    assert sum(row["type"] == "GENERATION" for row in document["observations"]) == 4
    report = Report()
    assert len(list(read_trajectories([document], report=report))) == 1
    assert (report.repeated, report.problems.count, report.without_content) == (1, 0, 1)


def test_malformed_generation_is_one_clear_problem(tmp_path: Path) -> None:
    lines = (LOGS / "langfuse" / "observations.jsonl").read_text().splitlines()[:1]
    broken = json.loads(lines[0]) | {"id": "b", "output": {"role": "assistant", "tool_calls": [{"id": "c"}]}}
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join([json.dumps(broken), *lines]))
    report = Report()
    assert [item.id for item in read_trajectories(path, report=report)] == ["obs-1"]
    (problem,) = report.problems.records
    assert str(problem) == f"{path}, record 1, line 1: message 1: a tool call without a function name"


def test_malformed_generation_of_a_trace_costs_itself_alone(tmp_path: Path) -> None:
    """So does one whose messages a tracer has cut off."""
    document = json.loads((LOGS / "langfuse" / "trace.json").read_text())
    rows = document["observations"]
    cut_off = json.dumps(rows[1]["input"]["messages"])[:-20]
    rows += [
        rows[1] | {"id": "b-1", "output": {"tool_calls": [1]}},
        rows[1] | {"id": "b-2", "input": cut_off},
    ]
    path = tmp_path / "trace.json"
    path.write_text(json.dumps(document))
    report = Report()
    assert [item.id for item in read_trajectories(path, report=report)] == ["obs-3"]
    assert [problem.message for problem in report.problems.records] == [
        "call b-1: not well-formed (AttributeError: 'int' object has no attribute 'get')",
        "call b-2: its messages are JSON that is cut off or broken",
    ]


@pytest.mark.parametrize("more", [{}, {"type": "tool-call"}])
def test_calls_of_vercels_sdk_that_are_an_output_of_their_own(more: Any) -> None:
    made = [
        {"toolCallId": f"c{bay}", "toolName": "count", "input": f'{{"bay":{bay}}}'} | more for bay in (4, 5)
    ]
    row = {"id": "o", "traceId": "t", "type": "GENERATION", "startTime": "2026-10-09", "input": [user()]}
    (found,) = read_trajectories([row | {"output": json.dumps(made)}], strict=True)
    calls = call('{"bay":4}', "c4") + call('{"bay":5}', "c5")
    assert found.messages == [user(), {"role": "assistant", "content": "", "tool_calls": calls}]


def test_the_systems_text_beside_a_generation() -> None:
    parts = json.dumps([{"type": "text", "content": SYSTEM["content"]}])
    metadata = {"attributes": {"gen_ai.system_instructions": parts}}
    row = {"id": "o", "traceId": "t", "type": "GENERATION", "startTime": "2026-10-09", "metadata": metadata}
    for given in ([user()], [SYSTEM, user()]):
        (found,) = read_trajectories([row | {"input": given, "output": ANSWER}], strict=True)
        assert found.messages == [SYSTEM, user(), ANSWER]


def test_a_word_for_no_text_inside_a_call_is_no_answer() -> None:
    """Some clients write Python's None where an answer has calls and no text."""
    about = {"traceId": "t", "type": "GENERATION", "startTime": "2026-10-09", "input": [user()]}
    counted = {"role": "assistant", "content": None, "tool_calls": call('{"bay": 4}', "c1")}
    rows = [
        about | {"id": "outer", "output": counted},
        about | {"id": "inner", "parentObservationId": "outer", "output": "None"},
        about | {"id": "alone", "output": "None"},
    ]
    trace = {"id": "t", "timestamp": "2026-10-09", "observations": rows}
    answers = {one.id: one.messages[-1]["content"] for one in read_trajectories([trace], strict=True)}
    assert answers == {"outer": "", "alone": "None"}
