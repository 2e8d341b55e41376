"""OpenTelemetry's spans in every wrapping and by every convention."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lar.errors import TrajectoryError
from lar.trajectories import Report, read_trajectories
from lar.trajectories.importing import import_logs
from tests.trajectories.formats.bay import ANSWER, LOGS, SYSTEM, TOOLS, only, read, result, talk, turn, user

TRACE = "5b8efff798038103d269b633813fc60c"


def test_otlp_lines_of_a_collector() -> None:
    (counted, pictured), report = read("otel", "collector.jsonl")
    assert counted.messages == [
        SYSTEM,
        user(),
        turn(arguments='{"bay": 4}', reasoning_content="I count first."),
        result(),
        ANSWER,
    ]
    assert (counted.id, counted.task, counted.model) == ("eee19b7ec3c1b176", TRACE, "demo")
    assert (counted.success, counted.tools) == (True, TOOLS)  # both of the agent's span
    assert pictured.messages[1]["content"] == "What is in this picture?[image]"
    assert pictured.messages[2]["content"] == "A crate."  # the first of two answers
    assert pictured.success is None
    assert report.repeated == 1
    left = {path: texts.characters for (_, path), texts in report.left_out.items()}
    (second,) = [
        path for path in left if ".gen_ai.output.messages." in path and path.endswith(".content.stringValue")
    ]
    assert left[second] == len("A box.")


@pytest.mark.parametrize("name", ["openllmetry.json", "jaeger.json"])
def test_indexed_attributes_of_openllmetry(name: str) -> None:
    found = only("otel", name)
    assert found.messages == [*talk()[:-1], {**ANSWER, "reasoning_content": "Twelve, then."}]
    assert (found.tools, found.model, found.task) == (TOOLS, "demo", TRACE)


@pytest.mark.parametrize("name", ["console.jsonl", "phoenix.json"])
def test_openinference_flat_and_nested(name: str) -> None:
    found = only("otel", name)
    assert found.messages == talk(name="count")
    assert (found.id, found.task, found.model) == ("c0e19b7ec3c1b171", TRACE, "demo")
    assert found.tools == TOOLS


def test_rows_of_phoenix(tmp_path: Path) -> None:
    """A table of spans has a column for each attribute, with prefixes in the messages."""
    row = {
        "name": "ChatCompletion",
        "span_kind": "LLM",
        "context.trace_id": TRACE,
        "context.span_id": "c0e19b7ec3c1b171",
        "attributes.llm.model_name": "demo",
        "attributes.llm.input_messages": [{"message.role": "user", "message.content": user()["content"]}],
        "attributes.llm.output_messages": [
            {
                "message.role": "assistant",
                "message.content": "I look.",
                "message.tool_calls": [
                    {
                        "tool_call.id": "c1",
                        "tool_call.function.name": "count",
                        "tool_call.function.arguments": '{"bay":4}',
                    }
                ],
            }
        ],
    }
    pq.write_table(pa.Table.from_pylist([row]), tmp_path / "spans.parquet")
    (found,) = read_trajectories(tmp_path / "spans.parquet", strict=True)
    assert found.messages == [user(), turn()]
    assert (found.task, found.model) == (TRACE, "demo")


def test_snake_case_and_chat_messages() -> None:
    assert only("otel", "snake_case.json").messages == [SYSTEM, user(), turn(""), result(), ANSWER]


def test_messages_in_events() -> None:
    (counted, older, newer), _ = read("otel", "events.json")
    assert counted.messages == talk()
    assert older.messages == [user(5), {"role": "assistant", "content": "None."}]
    assert newer.messages == [user(6), {"role": "assistant", "content": "Six."}]


def test_vercel_sdk() -> None:
    found = only("otel", "vercel.jsonl")
    assert found.messages == talk(name="count")
    assert found.tools == TOOLS


def test_agent_with_its_whole_conversation() -> None:
    found = only("otel", "pydantic_ai.json")
    told = turn(arguments='{"bay": 4}', reasoning_content="I count first.")
    assert found.messages == [SYSTEM, user(), told, result(name="count"), ANSWER]
    assert found.model == "demo"


def test_agent_without_calls() -> None:
    """Where a trace has no call of a model, its agent's run is read; alone it may have calls elsewhere."""
    found = only("otel", "agent_only.json")
    assert (found.messages, found.success) == ([user(), ANSWER], True)
    document = json.loads((LOGS / "otel" / "agent_only.json").read_text())
    document["resourceSpans"][0]["scopeSpans"][0]["spans"].pop()
    with pytest.raises(Exception, match="no trajectory could be read"):
        list(read_trajectories([document]))


def test_spans_of_other_services_are_no_problem(tmp_path: Path) -> None:
    """A file of single spans, one of them broken: the others are read."""
    lines = (LOGS / "otel" / "console.jsonl").read_text().splitlines()
    broken = json.loads(lines[1])
    broken["attributes"] = {
        "gen_ai.operation.name": "chat",
        "gen_ai.input.messages": [{"role": "user", "content": "Hi"}],
        "gen_ai.output.messages": [{"role": "assistant", "parts": [{"type": "tool_call", "id": "c1"}]}],
    }
    path = tmp_path / "spans.jsonl"
    path.write_text("\n".join([*lines, json.dumps(broken), "{"]))
    report = Report()
    (found,) = read_trajectories(path, report=report)
    assert found.messages == talk(name="count")
    assert [str(problem) for problem in report.problems.records] == [
        f"{path}, record 4, line 4: call c0e19b7ec3c1b171: message 1: a tool call without a function name",
        f"{path}, record 5, line 5: not JSON: Expecting property name enclosed in double quotes: "
        "line 1 column 2 (char 1)",
    ]


CHAT = {"messages": [{"role": "user", "content": "Hi"}]}
KINDS: list[tuple[bool, dict[str, Any]]] = [
    (True, {"openinference.span.kind": "LLM", "input.value": "Hi", "output.value": "Hello!"}),
    (False, {"openinference.span.kind": "CHAIN", "input.value": "Hi", "output.value": "Hello!"}),
    (True, {"gen_ai.request.model": "m", "gen_ai.prompt": "Hi", "gen_ai.completion": "Hello!"}),
    (False, {"gen_ai.operation.name": "embeddings", "gen_ai.prompt": "Hi", "gen_ai.completion": "Hello!"}),
    (True, {"mlflow.spanType": '"LLM"', "mlflow.spanInputs": "Hi", "mlflow.spanOutputs": "Hello!"}),
    (
        False,
        {"traceloop.span.kind": "tool", "traceloop.entity.input": "Hi", "traceloop.entity.output": "Hello!"},
    ),
    (
        True,
        {
            "langfuse.observation.type": "generation",
            "langfuse.observation.input": "Hi",
            "langfuse.observation.output": "Hello!",
        },
    ),
    (
        True,
        {
            "langsmith.span.kind": "llm",
            "gen_ai.prompt": json.dumps(CHAT),
            "gen_ai.completion": json.dumps({"choices": [{"message": {"content": "Hello!"}}]}),
        },
    ),
    (
        True,
        {
            "genkit:metadata:subtype": "model",
            "genkit:input": json.dumps({"messages": [{"role": "user", "content": [{"text": "Hi"}]}]}),
            "genkit:output": json.dumps({"message": {"role": "model", "content": [{"text": "Hello!"}]}}),
        },
    ),
    (
        True,
        {
            "ai.operationId": "ai.streamText.doStream",
            "ai.prompt.messages": "Hi",
            "ai.response.text": "Hello!",
        },
    ),
    (False, {"ai.operationId": "ai.streamText", "ai.prompt": "Hi", "ai.response.text": "Hello!"}),
]


@pytest.mark.parametrize(("is_read", "attributes"), KINDS, ids=lambda value: str(value)[:60])
def test_which_spans_are_calls(is_read: bool, attributes: dict[str, Any]) -> None:
    span = {"name": "x", "traceId": "t", "spanId": "s", "attributes": attributes}
    other = {"gen_ai.prompt": "A", "gen_ai.completion": "B"}
    spans = [span, {"name": "y", "traceId": "u", "spanId": "s", "attributes": other}]
    found = [item for item in read_trajectories(spans) if item.task == "t"]
    assert len(found) == is_read
    for item in found:
        assert [message["content"] for message in item] == ["Hi", "Hello!"]


def said(*parts: dict[str, Any], end: str | None = None) -> dict[str, Any]:
    return {"role": "assistant", "parts": list(parts), **({"finish_reason": end} if end else {})}


def text(content: str) -> dict[str, Any]:
    return {"type": "text", "content": content}


def counting(bay: int) -> dict[str, Any]:
    return {"type": "tool_call", "id": f"c{bay}", "name": "count", "arguments": {"bay": bay}}


def answer_in_span(messages: list[Any], **attributes: Any) -> tuple[list[Any], dict[str, int]]:
    """The messages after the request, and what was left out of the reply."""
    asked = [{"role": "user", "parts": [text("Count.")]}]
    fields = {"gen_ai.input.messages": asked, "gen_ai.output.messages": messages, **attributes}
    span = {"trace_id": TRACE, "span_id": "1", "name": "chat", "attributes": fields}
    report = Report()
    [found] = read_trajectories([span], report=report)
    left = {path: texts.characters for (_, path), texts in report.left_out.items() if "output" in path}
    return found.messages[1:], left


TWO_CHOICES = [
    [said(text("A"), end="stop"), said(text("B"), end="content_filter")],
    [said(counting(1), end="tool_call"), said(counting(2), end="tool_call")],
    [said(text("A"), counting(1), end="tool_call"), said(text("B"), counting(2), end="tool_call")],
    [said(text("A"), end="stop"), said(counting(2), end="tool_call")],
    [said(counting(1), end="tool_call"), said(text("B"), end="stop")],
]


@pytest.mark.parametrize("choices", TWO_CHOICES)
def test_of_several_choices_the_first_is_read_and_the_others_are_counted(choices: list[Any]) -> None:
    [alone], left = answer_in_span(choices[:1])
    [found], more = answer_in_span(choices)
    assert (found, left) == (alone, {})
    assert sum(more.values()) >= 1 or "B" not in json.dumps(choices)


@pytest.mark.parametrize("end", [None, "tool_call"])
def test_a_text_and_a_call_with_one_end_are_one_reply(end: str | None) -> None:
    [found], left = answer_in_span([said(text("A"), end=end), said(counting(1), end=end)])
    assert (found["content"], len(found["tool_calls"]), left) == ("A", 1, {})


@pytest.mark.parametrize(
    "count",
    [{"gen_ai.request.choice.count": 2}, {"llm.invocation_parameters": '{"n": 2, "temperature": 1}'}],
)
def test_as_many_messages_as_choices_were_asked_for_are_choices(count: dict[str, Any]) -> None:
    [found], left = answer_in_span([said(text("A")), said(text("B"))], **count)
    assert found == {"role": "assistant", "content": "A"}
    assert sum(left.values()) == 1


WITHOUT: dict[str, dict[str, Any]] = {
    "otel": {"gen_ai.operation.name": "chat", "gen_ai.request.model": "m", "gen_ai.usage.input_tokens": 12},
    "openinference": {"openinference.span.kind": "LLM", "llm.model_name": "m"},
    "vercel": {"ai.operationId": "ai.generateText.doGenerate", "ai.model.id": "m"},
    "failed": {"gen_ai.operation.name": "chat", "gen_ai.prompt": "Hi", "error.type": "RateLimitError"},
}
WITH = {"gen_ai.operation.name": "chat", "gen_ai.prompt": "A", "gen_ai.completion": "B"}


def document(*spans: tuple[str, str | None, dict[str, Any]]) -> dict[str, Any]:
    """An OTLP document of one trace: of each span its id, the span around it, and its attributes."""
    found = [
        {"name": "x", "traceId": "t", "spanId": own, "parentSpanId": parent, "attributes": attributes}
        for own, parent, attributes in spans
    ]
    return {"resourceSpans": [{"scopeSpans": [{"spans": [_with_list(span) for span in found]}]}]}


def _with_list(span: dict[str, Any]) -> dict[str, Any]:
    pairs = [{"key": key, "value": {"stringValue": str(value)}} for key, value in span["attributes"].items()]
    return {**span, "attributes": pairs}


@pytest.mark.parametrize("attributes", WITHOUT.values(), ids=WITHOUT)
@pytest.mark.parametrize("whole", [True, False])
def test_calls_without_content_are_counted(tmp_path: Path, attributes: dict[str, Any], whole: bool) -> None:
    path = tmp_path / "log.jsonl"
    alone = document(("a", None, attributes), ("b", "a", {"gen_ai.operation.name": "execute_tool"}))
    path.write_text(json.dumps(alone))
    with pytest.raises(TrajectoryError) as error:
        list(read_trajectories(path))
    assert str(error.value).startswith("no trajectory could be read: 1 model call without content: ")
    assert "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT=true" in str(error.value)
    assert str(error.value).endswith(f"; the first: {path}, record 1, line 1")
    others = [document(("a", None, WITH), ("b", None, attributes), ("c", None, attributes))]
    if not whole:
        others = [document(("a", None, WITH)), *[document((name, None, attributes)) for name in "bc"]]
    path.write_text("".join(json.dumps(one) + "\n" for one in others))
    report, imported = Report(), Report()
    (found,) = read_trajectories(path, report=report, strict=True)
    assert [message["content"] for message in found] == ["A", "B"]
    assert (report.without_content, report.problems.count) == (2, 0)
    assert report.first_without_content == f"{path}, record {1 if whole else 2}, line {1 if whole else 2}"
    import_logs([path], tmp_path / "out.parquet", report=imported)
    assert imported == report
    (doubt,) = report.doubts()
    assert doubt.startswith("2 model calls without content: ")


@pytest.mark.parametrize("outer", [WITH, WITHOUT["otel"]], ids=["outer", "inner"])
def test_a_call_recorded_twice_has_the_content_of_either(outer: dict[str, Any]) -> None:
    inner = WITHOUT["otel"] if outer is WITH else WITH
    report = Report()
    (_,) = read_trajectories([document(("a", None, outer), ("b", "a", inner))], report=report)
    assert report.without_content == 0


def test_the_conversation_of_an_agent_has_the_content_of_its_calls() -> None:
    told = [*CHAT["messages"], {"role": "assistant", "content": "Hello!"}]
    agent = {"gen_ai.operation.name": "invoke_agent", "pydantic_ai.all_messages": json.dumps(told)}
    report = Report()
    (found,) = read_trajectories([document(("a", None, agent), ("b", "a", WITHOUT["otel"]))], report=report)
    assert (found.messages, report.without_content) == (told, 0)


def test_a_broken_call_beside_one_without_content_is_a_problem() -> None:
    call = [{"role": "assistant", "parts": [{"type": "tool_call", "id": "c1"}]}]
    broken = {"gen_ai.operation.name": "chat", "gen_ai.output.messages": json.dumps(call)}
    whole = document(("a", None, broken), ("b", None, WITHOUT["otel"]), ("c", None, broken))
    report = Report()
    other = {"messages": [*CHAT["messages"], {"role": "assistant", "content": "Hello!"}]}
    (_,) = read_trajectories([whole, other], report=report)
    assert (report.without_content, report.problems.count) == (1, 2)


def flat(prefix: str, messages: list[Any]) -> dict[str, str]:
    """OpenInference's attributes of messages that are texts."""
    names = ((f"{prefix}.{number}.message", message) for number, message in enumerate(messages))
    return {f"{name}.{key}": message[key] for name, message in names for key in ("role", "content")}


def span_of(attributes: dict[str, str]) -> dict[str, Any]:
    context = {"trace_id": "t", "span_id": "s"}
    return {"name": "llm", "context": context, "attributes": {"openinference.span.kind": "LLM"} | attributes}


def test_messages_whose_first_attributes_the_tracer_dropped() -> None:
    """The SDK keeps the last attributes only: the rest of the history is read, a rest of an answer never."""
    history = [user(4), {"role": "assistant", "content": "Eleven."}, user(5)]
    asked, told = flat("llm.input_messages", history), flat("llm.output_messages", [ANSWER])
    for dropped, left in ((0, 3), (2, 2), (3, 1), (4, 1)):
        kept = dict(list(asked.items())[dropped:])
        (found,) = read_trajectories([span_of(kept | told)], strict=True)
        assert found.messages == [*history[3 - left :], ANSWER]
    whole = {"input.value": json.dumps({"messages": history})}
    (found,) = read_trajectories([span_of(dict(list(asked.items())[2:]) | whole | told)], strict=True)
    assert found.messages == [*history, ANSWER]
    pieces = flat("llm.output_messages", [{"role": "assistant", "content": piece} for piece in "Twelve."])
    torn = span_of(asked | dict(list(pieces.items())[2:]))
    with pytest.raises(TrajectoryError, match="the beginning of its answer is missing"):
        list(read_trajectories([torn], strict=True))
