"""A reply that a log has as the events of a stream is the reply as one object, in every interface."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lar.trajectories import Report, Trajectory, read_trajectories
from lar.trajectories.formats.interfaces.streams import whole_reply
from testing.sessions import agent, call, user

Event = dict[str, Any]
ASKED = user("How many crates stand in bay 4?")
CHAT = {"model": "m", "messages": [ASKED]}
GEMINI = {"contents": [{"role": "user", "parts": [{"text": ASKED["content"]}]}]}
CONVERSE = {"modelId": "m", "messages": [{"role": "user", "content": [{"text": ASKED["content"]}]}]}
RESPONSES = {"model": "m", "input": ASKED["content"]}
COUNT = {"bay": 4}


def chat(said: list[str], calls: int) -> Iterator[Event]:
    yield from ({"choices": [{"index": 0, "delta": {"content": piece}}]} for piece in said)
    for index in range(calls):
        for delta in (
            {"id": f"c{index}", "function": {"name": "count"}},
            *map(arguments, ('{"bay"', ": 4}")),
        ):
            yield {"choices": [{"delta": {"tool_calls": [{"index": index, **delta}]}}]}


def arguments(piece: str) -> Event:
    return {"function": {"arguments": piece}}


def ollama(said: list[str], calls: int) -> Iterator[Event]:
    tools = [{"function": {"name": "count", "arguments": COUNT}}]
    for more in (*({"content": piece} for piece in said), *({"content": "", "tool_calls": tools},) * calls):
        yield {"model": "m", "message": {"role": "assistant", **more}, "done": False}
    yield {"model": "m", "message": {"role": "assistant", "content": ""}, "done": True}


def gemini(said: list[str], calls: int) -> Iterator[Event]:
    for part in (
        *({"text": piece} for piece in said),
        *({"functionCall": {"name": "count", "args": COUNT}},) * calls,
    ):
        yield {"candidates": [{"content": {"role": "model", "parts": [part]}, "index": 0}]}
    yield {"candidates": [{"content": {"role": "model", "parts": []}, "finishReason": "STOP"}]}


def gemini_in_pieces(said: list[str], calls: int) -> Iterator[Event]:
    """As `gemini`, but each call in pieces (`streamFunctionCallArguments`)."""
    *texts, last = gemini(said, 0)
    yield from texts
    value = {"jsonPath": "$.bay", "numberValue": 4}
    for _ in range(calls):
        for piece in (
            {"name": "count", "willContinue": True},
            {"partialArgs": [value], "willContinue": True},
            {},
        ):
            parts = [{"functionCall": piece}]
            yield {"candidates": [{"content": {"role": "model", "parts": parts}, "index": 0}]}
    yield last


def chat_in_parts(said: list[str], calls: int) -> Iterator[Event]:
    """As `chat`, but each delta's text in parts (Mistral)."""
    for event in chat(said, calls):
        delta = event["choices"][0]["delta"]
        parts = [{"type": "text", "text": delta["content"]}] if "content" in delta else None
        yield {"choices": [{"delta": {"content": parts} if parts else delta}]}


def converse(said: list[str], calls: int) -> Iterator[Event]:
    yield {"messageStart": {"role": "assistant"}}
    for piece in said:
        yield {"contentBlockDelta": {"delta": {"text": piece}, "contentBlockIndex": 0}}
    yield {"contentBlockStop": {"contentBlockIndex": 0}}
    for index in range(1, calls + 1):
        start = {"toolUse": {"toolUseId": f"c{index - 1}", "name": "count"}}
        yield {"contentBlockStart": {"start": start, "contentBlockIndex": index}}
        for piece in ('{"bay"', ": 4}"):
            yield {"contentBlockDelta": {"delta": {"toolUse": {"input": piece}}, "contentBlockIndex": index}}
        yield {"contentBlockStop": {"contentBlockIndex": index}}
    yield {"messageStop": {"stopReason": "tool_use"}}


def anthropic(said: list[str], calls: int) -> Iterator[Event]:
    yield {"type": "message_start", "message": {"type": "message", "role": "assistant", "content": []}}
    yield {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
    for piece in said:
        yield {"type": "content_block_delta", "index": 0, "delta": {"text": piece}}
    yield {"type": "content_block_stop", "index": 0}
    for index in range(1, calls + 1):
        block = {"type": "tool_use", "id": f"c{index - 1}", "name": "count", "input": {}}
        yield {"type": "content_block_start", "index": index, "content_block": block}
        for piece in ('{"bay"', ": 4}"):
            yield {"type": "content_block_delta", "index": index, "delta": {"partial_json": piece}}
        yield {"type": "content_block_stop", "index": index}
    yield {"type": "message_stop"}


def responses(said: list[str], calls: int) -> Iterator[Event]:
    """A stream that breaks off: no item is done, and there is no whole response."""
    yield {"type": "response.created", "response": {"id": "r", "object": "response", "output": []}}
    item: Event = {"type": "message", "role": "assistant", "content": []}
    yield {"type": "response.output_item.added", "output_index": 0, "item": item}
    for piece in said:
        at = {"output_index": 0, "content_index": 0}
        yield {"type": "response.output_text.delta", **at, "delta": piece}
    for index in range(1, calls + 1):
        item = {"type": "function_call", "call_id": f"c{index - 1}", "name": "count", "arguments": ""}
        yield {"type": "response.output_item.added", "output_index": index, "item": item}
        for piece in ('{"bay"', ": 4}"):
            kind = "response.function_call_arguments.delta"
            yield {"type": kind, "output_index": index, "delta": piece}


def cohere(said: list[str], calls: int) -> Iterator[Event]:
    yield {"type": "message-start", "id": "m", "delta": {"message": {"role": "assistant", "content": []}}}
    yield {
        "type": "content-start",
        "index": 0,
        "delta": {"message": {"content": {"type": "text", "text": ""}}},
    }
    for piece in said:
        yield {"type": "content-delta", "index": 0, "delta": {"message": {"content": {"text": piece}}}}
    yield {"type": "content-end", "index": 0}
    for index in range(calls):
        begun = {"id": f"c{index}", "type": "function", "function": {"name": "count", "arguments": ""}}
        yield {"type": "tool-call-start", "index": index, "delta": {"message": {"tool_calls": begun}}}
        for piece in ('{"bay"', ": 4}"):
            delta = {"message": {"tool_calls": arguments(piece)}}
            yield {"type": "tool-call-delta", "index": index, "delta": delta}
        yield {"type": "tool-call-end", "index": index}
    yield {"type": "message-end", "delta": {"finish_reason": "COMPLETE"}}


def steps(said: list[str], calls: int) -> Iterator[Event]:
    yield {"event_type": "interaction.created", "interaction": {"id": "v1", "status": "in_progress"}}
    yield {"event_type": "step.start", "index": 0, "step": {"type": "model_output"}}
    for piece in said:
        yield {"event_type": "step.delta", "index": 0, "delta": {"type": "text", "text": piece}}
    yield {"event_type": "step.stop", "index": 0}
    for index in range(1, calls + 1):
        begun = {"type": "function_call", "id": f"c{index - 1}", "name": "count", "arguments": {}}
        yield {"event_type": "step.start", "index": index, "step": begun}
        for piece in ('{"bay"', ": 4}"):
            delta = {"type": "arguments_delta", "arguments": piece}
            yield {"event_type": "step.delta", "index": index, "delta": delta}
        yield {"event_type": "step.stop", "index": index}
    yield {"event_type": "interaction.completed", "interaction": {"id": "v1", "status": "completed"}}


def sent(events: list[Event]) -> str:
    return "".join(f"data: {json.dumps(event)}\n\n" for event in events)


def lines(events: list[Event]) -> str:
    return "".join(json.dumps(event) + "\n" for event in events)


FORMS: dict[str, Callable[[list[Event]], Any]] = {
    "sent": sent,
    "named": lambda events: ": OPENROUTER\n\nevent: message\n" + sent(events) + "data: [DONE]\n\n",
    "list": list,
    "list of lines": lambda events: sent(events).split("\n"),
    "body": lambda events: {"status": 200, "body": sent(events)},
}
STREAMS = {
    "chat": (CHAT, chat, FORMS),
    "chat in parts": (CHAT, chat_in_parts, FORMS),
    "ollama": (CHAT, ollama, FORMS | {"lines": lines}),
    "gemini": (GEMINI, gemini, FORMS),
    "gemini in pieces": (GEMINI, gemini_in_pieces, FORMS),
    "anthropic": (CHAT, anthropic, FORMS),
    "converse": (CONVERSE, converse, FORMS | {"stream": lambda events: {"stream": events}}),
    "responses": (RESPONSES, responses, FORMS),
    "cohere": (CHAT, cohere, FORMS),
    "steps": (RESPONSES, steps, FORMS),
}


def read(record: Any) -> tuple[list[Trajectory], Report]:
    report = Report()
    return list(read_trajectories([record], strict=True, report=report)), report


@pytest.mark.parametrize(("name", "form"), [(name, form) for name in STREAMS for form in STREAMS[name][2]])
@given(said=st.lists(st.text("ab \n", min_size=1), max_size=3), calls=st.integers(0, 2))
@settings(deadline=None, max_examples=25)
def test_the_pieces_are_joined_in_any_interface_and_form(name, form, said, calls):
    request, stream, forms = STREAMS[name]
    if not "".join(said) and not calls:
        return
    (found,), report = read({"request": request, "response": forms[form](list(stream(said, calls)))})
    is_named = name not in ("ollama", "gemini", "gemini in pieces")
    made = [call("count", '{"bay": 4}', f"c{number}" if is_named else None) for number in range(calls)]
    assert found.messages == [ASKED, agent("".join(said), *made)]
    assert not [
        path for _, path in report.left_out if path.endswith(("text", "content", "delta", "arguments"))
    ]


ENDS: dict[str, list[Event]] = {
    "chat": [{"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}],
    "chat in parts": [{"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}],
    "responses": [{"type": "response.completed", "response": {"id": "r", "status": "completed"}}],
}


@pytest.mark.parametrize("name", STREAMS)
@pytest.mark.parametrize("form", [sent, list, lambda events: sent(events).split("\n")])
@given(
    said=st.lists(st.text("ab", min_size=1), min_size=1, max_size=3), calls=st.integers(0, 2), data=st.data()
)
@settings(deadline=None, max_examples=25)
def test_a_stream_that_was_cut_is_counted_and_has_no_call_that_it_does_not_hold(
    name, form, said, calls, data
):
    request, stream, _ = STREAMS[name]
    events = [*stream(said, calls), *ENDS.get(name, [])]
    end = data.draw(st.integers(min(3, len(events)), len(events)))  # not before the first text
    (whole,), uncut = read({"request": request, "response": form(events)})
    (found,), report = read({"request": request, "response": form(events[:end])})
    assert (uncut.cut, report.cut) == (0, int(end < len(events)))
    made, told = (one.messages[-1].get("tool_calls", []) for one in (found, whole))
    assert whole.messages[-1]["content"].startswith(found.messages[-1]["content"])
    assert made == told[: len(made)]
    if end >= len(events) - 1:
        assert found.messages == whole.messages


def test_a_call_without_arguments_is_one_only_where_its_end_is_there():
    events = [event for event in anthropic(["I look."], 1) if "partial_json" not in event.get("delta", ())]
    for end, calls in {len(events) - 1: 1, len(events) - 2: 0}.items():
        (found,), report = read({"request": CHAT, "response": sent(events[:end])})
        assert found.messages == [ASKED, agent("I look.", *[call("count", "{}", "c0")] * calls)]
        assert report.cut == 1
        assert sum(left.characters for left in report.left_out.values()) == (0 if calls else len("count"))


def test_what_is_lost_of_a_call_that_was_cut_is_named():
    """Both forms of calls in OpenAI's streams: broken arguments are not finished, and none are invented."""
    deltas = [
        {"content": "I look."},
        {"tool_calls": [{"index": 0, "id": "c0", "function": {"name": "count", "arguments": '{"bay":'}}]},
        {"tool_calls": [{"index": 1, "id": "c1", "function": {"name": "weigh", "arguments": ""}}]},
    ]
    older = [deltas[0], {"function_call": {"name": "count", "arguments": '{"bay":'}}]
    for said in (deltas, older):
        events = [{"choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in said]
        (found,), report = read({"request": CHAT, "response": sent(events)})
        assert found.messages == [ASKED, agent("I look.")]
        assert report.cut == 1
        lost = {path.rpartition(".")[2] for _, path in report.left_out}
        assert lost == {"name", "arguments"}


def pieces_of(value: Any, path: str = "$") -> Iterator[Event]:
    """What Gemini would stream of the argument `value` at `path`; a text in two pieces."""
    if isinstance(value, dict | list):
        inner = enumerate(value) if isinstance(value, list) else value.items()
        for step, one in inner:
            yield from pieces_of(one, f"{path}[{step}]" if isinstance(value, list) else f"{path}.{step}")
    elif isinstance(value, str):
        yield {"jsonPath": path, "stringValue": value[:1], "willContinue": True}
        yield {"jsonPath": path, "stringValue": value[1:]}
    else:
        kind = "nullValue" if value is None else "boolValue" if isinstance(value, bool) else "numberValue"
        yield {"jsonPath": path, kind: value}


NAMES = st.text("ab", min_size=1, max_size=2)
NESTED = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text("ab"),
    lambda inner: st.lists(inner, min_size=1, max_size=3) | st.dictionaries(NAMES, inner, min_size=1),
    max_leaves=6,
)


@given(arguments=st.dictionaries(NAMES, NESTED, max_size=3))
@settings(deadline=None, max_examples=50)
def test_arguments_that_gemini_streams_by_their_paths_are_put_together(arguments):
    calls = [{"name": "count"}, *({"partialArgs": [piece]} for piece in pieces_of(arguments)), {}]
    parts = [{"functionCall": {"willContinue": True, **one}} for one in calls]
    events = [{"candidates": [{"content": {"role": "model", "parts": [part]}}]} for part in parts]
    events.append({"candidates": [{"finishReason": "STOP"}]})
    before = json.dumps(events)
    (found,), _ = read({"request": GEMINI, "response": events})
    assert json.loads(found.messages[-1]["tool_calls"][0]["function"]["arguments"]) == arguments
    assert json.dumps(events) == before


@pytest.mark.parametrize("path", ["bay", "$", "$.bay[4]", "$..bay", "$[0]"])
def test_a_path_of_no_known_form_makes_the_reply_unreadable(path):
    parts = [
        {"functionCall": {"name": "count"}},
        {"functionCall": {"partialArgs": [{"jsonPath": path, "boolValue": True}]}},
    ]
    events = [{"candidates": [{"content": {"parts": parts}, "finishReason": "STOP"}]}]
    assert "error" in whole_reply(events)


def test_thoughts_in_parts_are_joined():
    parts = [{"type": "thinking", "thinking": [{"type": "text", "text": piece}]} for piece in ("Hm", ".")]
    deltas = [*([part] for part in parts), [{"type": "text", "text": "Twelve."}]]
    events = [{"choices": [{"delta": {"content": delta}}]} for delta in deltas]
    (found,), _ = read({"request": CHAT, "response": sent(events)})
    assert found.messages == [ASKED, agent("Twelve.", thought="Hm.")]


def test_a_second_message_in_one_stream_is_not_mixed_into_the_first():
    """What the client did between the two is not there."""
    events = [*anthropic(["I look."], 1), *anthropic(["Twelve."], 0)]
    (found,), report = read({"request": CHAT, "response": sent(events)})
    assert found.messages == [ASKED, agent("I look.", call("count", '{"bay": 4}', "c0"))]
    assert sum(left.characters for left in report.left_out.values()) == len("Twelve.")


def test_thoughts_are_joined():
    deltas = [
        {"reasoningContent": {"text": "Hm"}},
        {"reasoningContent": {"text": "."}},
        {"reasoningContent": {"signature": "c2ln"}},
    ]
    events = [{"contentBlockDelta": {"delta": delta, "contentBlockIndex": 0}} for delta in deltas]
    (found,), _ = read({"request": CONVERSE, "response": [*events, *list(converse(["Twelve."], 0))[1:]]})
    assert found.messages[1]["reasoning_content"] == "Hm."


REASONED = [
    {"type": "response.output_item.added", "output_index": 0, "item": {"type": "reasoning", "summary": []}},
    {"type": "response.reasoning_summary_text.delta", "output_index": 0, "summary_index": 0, "delta": "Hm"},
    {"type": "response.reasoning_summary_text.delta", "output_index": 0, "summary_index": 1, "delta": "So"},
]  # fmt: skip
DONE = {
    "type": "response.output_item.done",
    "output_index": 0,
    "item": {"type": "reasoning", "summary": [{"type": "summary_text", "text": "Hm!"}]},
}


@pytest.mark.parametrize(("events", "thought"), [(REASONED, "Hm\n\nSo"), ([*REASONED, DONE], "Hm!")])
def test_a_done_item_replaces_its_pieces(events, thought):
    rest = [{**event, "output_index": 1} for event in responses(["Twelve."], 0) if "delta" in event]
    (found,), _ = read({"request": RESPONSES, "response": [*events, *rest]})
    assert found.messages == [ASKED, agent("Twelve.", thought=thought)]


def test_a_stream_in_the_older_form_of_calls():
    deltas = [{"name": "count", "arguments": ""}, {"arguments": '{"bay"'}, {"arguments": ": 4}"}]
    events = [{"choices": [{"index": 0, "delta": {"function_call": delta}}]} for delta in deltas]
    (found,), _ = read({"request": CHAT, "response": sent(events)})
    assert found.messages == [ASKED, agent("", call("count", '{"bay": 4}'))]


TEXTS = [
    {"object": "text_completion", "choices": [{"text": "Twel", "index": 0, "finish_reason": None}]},
    {"object": "text_completion", "choices": [{"text": "An", "index": 1, "finish_reason": None}]},
    {"object": "text_completion", "choices": [{"text": "ve.", "index": 0, "finish_reason": "stop"}]},
]
PIECES = [{"model": "m", "response": piece, "done": not piece} for piece in ("Twel", "ve.", "")]


@pytest.mark.parametrize("response", [sent(TEXTS) + "data: [DONE]\n\n", TEXTS, lines(PIECES), PIECES])
def test_streams_of_completions(response):
    (found,), _ = read({"prompt": ASKED["content"], "response": response})
    assert found.messages == [ASKED, agent("Twelve.")]


@pytest.mark.parametrize(
    ("response", "counted"),
    [
        (sent(list(chat(["Twelve."], 0))) + 'data: {"choices": [{"delta": {"con', ("response(json)[]", 28)),
        (lines(list(ollama(["Twelve."], 0))) + '{"model": "m", "mes', ("response(json)[]", 19)),
    ],
)
def test_the_line_where_a_stream_was_cut_is_counted(response, counted):
    (found,), report = read({"request": CHAT, "response": response})
    assert found.messages == [ASKED, agent("Twelve.")]
    assert {path: left.characters for (_, path), left in report.left_out.items()} == dict([counted])


@pytest.mark.parametrize(
    "response",
    [
        sent([{"token": {"text": "Twelve crates"}}]),
        sent([*chat(["Twelve crates"], 0), {"choices": [{"delta": {"tool_calls": [7]}}]}]),
        'data: {"choices": [{"delta": {"content": "Twelve crates',
    ],
)
def test_a_stream_that_cannot_be_read_is_no_text_of_the_agent(response):
    history = [ASKED, agent("I look."), user("And?")]
    report = Report()
    record = {"request": {"messages": history}, "response": response}
    assert [one.messages for one in read_trajectories([record], report=report)] == [history]
    assert sum(left.characters for left in report.left_out.values()) >= len("Twelve crates")


@pytest.mark.parametrize(
    "text",
    [
        'The server sends:\ndata: {"choices": [{"delta": {"content": "a"}}]}\n',
        '{"name": "bay 4", "candidates": ["a"]}\n{"name": "bay 5"}',
        "data: 12 crates",
        "event: a delivery",
    ],
)
def test_what_an_agent_writes_is_no_stream(text):
    assert whole_reply(text) == text
    (found,), _ = read({"request": CHAT, "response": text})
    assert found.messages == [ASKED, agent(text)]
