"""Calls whose texts a logger has masked, and calls without an answer: counted, and no text of the agent."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lar.errors import TrajectoryError
from lar.trajectories import Report, Trajectory, read_trajectories
from lar.trajectories.dialects.messages import is_own

MASK = "redacted-by-litellm"
MASKS = [MASK, "redacted by litellm. 'litellm.turn_off_message_logging=True'", "__REDACTED__"]
TOLD = "No answer of the agent is here: this is one."


def user(text: str = "How many crates?") -> dict[str, Any]:
    return {"role": "user", "content": text}


def agent(text: str, **more: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": text, **more}


def chosen(message: dict[str, Any]) -> dict[str, Any]:
    return {"object": "chat.completion", "choices": [{"index": 0, "message": message}]}


def called(arguments: str) -> list[dict[str, Any]]:
    return [{"id": "c1", "type": "function", "function": {"name": "count", "arguments": arguments}}]


def logged(history: list[Any], answer: Any) -> dict[str, dict[str, Any]]:
    """A call of a model as gateways and tracers log it."""
    run = {"id": "r", "trace_id": "t", "run_type": "llm", "inputs": {"messages": history}, "outputs": answer}
    generation = {"id": "g", "traceId": "t", "type": "GENERATION", "input": history, "output": answer}
    span = {"name": "llm", "traceId": "t", "spanId": "s"}
    attributes = {"gen_ai.operation.name": "chat", "input.value": history, "output.value": answer}
    return {
        "litellm": {"id": "1", "call_type": "acompletion", "messages": history, "response": answer},
        "chat": {"request": {"messages": history}, "response": answer},
        "langsmith": run,
        "langfuse": generation,
        "span": span | {"attributes": {key: _text(value) for key, value in attributes.items() if value}},
    }


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def read(*records: Any) -> tuple[list[Trajectory], Report]:
    report = Report()
    return list(read_trajectories(records, report=report, strict=True)), report


ANSWERS: dict[str, Any] = {
    **{mask: chosen(agent(mask)) for mask in MASKS},
    "text": {"text": MASK},
    "bare": MASK,
    "reasoning": chosen(agent(MASK, reasoning_content=MASK)),
    "arguments": chosen({"role": "assistant", "content": None, "tool_calls": called(MASK)}),
    "older calls": chosen(agent(MASK, tool_calls=called('{"bay": 4}'))),
    "responses": {
        "object": "response",
        "output": [
            {"type": "reasoning", "summary": [{"type": "summary_text", "text": MASK}]},
            *[agent(MASK, type="message")] * 2,
        ],
    },
}


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
def test_a_masked_call_has_no_content(answer: Any) -> None:
    for form, record in logged([user(MASK)], answer).items():
        if form == "chat" and "output" in answer:
            continue  # Responses, which have a format of their own
        with pytest.raises(TrajectoryError, match=r"read: 1 model call without content: .*message_logging"):
            read(record)
        other = {"messages": [user(), agent(TOLD)]}
        (found,), report = read(record, record, other)
        assert found.messages == other["messages"]
        assert (report.without_content, report.problems.count) == (2, 0)
        assert report.first_without_content == "given, record 1"
        lost = {path for _, path in report.left_out}
        assert not {path for path in lost if "content" in path or "messages" in path}, form


@pytest.mark.parametrize("text", [f"I wrote {MASK}.", MASK.upper(), f"{MASK}!", "REDACTED", "***"])
def test_only_a_whole_marker_is_a_mask(text: str) -> None:
    for record in logged([user(text)], chosen(agent(text))).values():
        (found,), report = read(record)
        assert found.messages == [user(text), agent(text)]
        assert report.without_content == 0


said = st.sampled_from(["One.", "Two.", "Three."]) | st.sampled_from(MASKS)
turns = st.lists(st.tuples(st.sampled_from(["user", "assistant"]), said), max_size=5)


@given(told=turns, answer=said | st.none())
@settings(deadline=None)
def test_what_the_agent_wrote_is_kept_and_no_mask_is_its_text(
    told: list[tuple[str, str]], answer: str | None
) -> None:
    history = [user("Go."), *({"role": role, "content": text} for role, text in told), user("On.")]
    records = logged(history, None if answer is None else chosen(agent(answer)))
    if answer is None:
        del records["chat"]  # which is then no call
    spoken = [text for role, text in [*told, ("assistant", answer)] if role == "assistant"]
    expected = [text for text in spoken if text is not None and text not in MASKS]
    for form, record in records.items():
        found, report = read(record, {"messages": [user(), agent(TOLD)]})
        own = [one["content"] for trajectory in found for one in trajectory if is_own(one)]
        assert own == [*expected, TOLD], form
        assert report.without_content == (answer is None or answer in MASKS), form


@pytest.mark.parametrize("answer", [{}, None, "", {"error": {"message": "Rate limit reached"}}])
def test_a_failed_call_is_counted_and_its_history_kept(answer: Any) -> None:
    history = [user(), agent("I look."), user("And?")]
    for form, record in logged(history, answer).items():
        if form != "chat":
            (found,), report = read(record)
            assert (found.messages, report.without_content) == (history, 1), form
            merged = Report()
            merged.merge(report)
            assert merged == report


def test_a_call_whose_answer_a_call_within_it_has_is_answered() -> None:
    history = [user(), agent("I look."), user("And?")]

    def observation(name: str, parent: str | None, answer: Any) -> dict[str, Any]:
        row = {"id": name, "traceId": "t", "type": "GENERATION", "parentObservationId": parent}
        return row | {"startTime": "x", "input": history, "output": answer}

    about = {"id": "t", "timestamp": "x", "htmlPath": "/t", "input": None, "output": None}
    for outer, inner in ((None, agent("Twelve.")), (agent("Twelve."), None), (None, None)):
        rows = [observation("a", None, outer), observation("b", "a", inner)]
        _, report = read(about | {"observations": rows})
        assert report.without_content == (outer is inner)


def test_a_conversation_that_a_person_ends_misses_no_answer() -> None:
    texts = {"Hi": "human", "Ho": "ai", "And?": "human"}
    talk = [{"type": kind, "content": text} for text, kind in texts.items()]
    (found,), report = read({"values": {"messages": talk}})
    assert (len(found.messages), report.without_content) == (3, 0)
    report = Report()
    row = {"id": "t", "timestamp": "x", "htmlPath": "/t", "input": [user(), agent("Twelve.")]}
    (found,), report = read(row | {"output": user("And?")})
    assert (len(found.messages), report.without_content) == (3, 0)
    (found,), report = read(logged([user(), agent("Twelve.")], user("And?"))["litellm"])
    assert (len(found.messages), report.without_content) == (3, 0)
    own = [{"log": [user(), agent("Twelve."), user("And?")]}]
    (found,) = read_trajectories(own, messages_key="log", report=report)
    assert (len(found.messages), report.without_content) == (3, 0)


@pytest.mark.parametrize("wrap", [dict, json.dumps])
def test_a_body_that_helicone_did_not_keep_is_no_answer(wrap: Any) -> None:
    note = wrap({"helicone_message": "fetching body from signed_url..."})
    request, answer = {"messages": [user()]}, chosen(agent("Twelve."))
    about = {"request_id": "h", "request_created_at": "x"}
    (found,), report = read(
        about | {"request_body": note, "response_body": note},
        about | {"request_body": request, "response_body": note},
        about | {"request_body": request, "response_body": answer},
    )
    assert found.messages == [user(), agent("Twelve.")]
    assert report.without_content == 2


OBJECTS = [
    "ModelResponse(id='c1', choices=[Choices(finish_reason='stop', message=Message(content='12'))])",
    "ChatCompletion(id='c1', choices=[Choice(finish_reason='stop', message=ChatCompletionMessage())])",
    "ChatCompletionMessage(content='12', refusal=None, role='assistant', tool_calls=None)",
    "Message(id='msg_1', content=[TextBlock(text='12', type='text')], role='assistant')",
    "content='12' additional_kwargs={} response_metadata={'model': 'm'} id='run-1'",
]


@pytest.mark.parametrize("shown", OBJECTS)
def test_a_response_as_python_shows_its_object_is_no_text_of_the_agent(shown: str) -> None:
    """`json.dumps(..., default=str)` writes it; it is counted, and another field may have the reply."""
    record = {"messages": [user()], "response": shown, "outputs": ["Twelve."]}
    (found,), report = read(record)
    assert found.messages == [user(), agent("Twelve.")]
    assert report.left_out["chat", "response"].characters == len(shown)
    for one in logged([user(), agent("I look."), user("And?")], shown).values():
        (found,), report = read(one)
        assert [message["content"] for message in found.messages if is_own(message)] == ["I look."]
        assert report.without_content == 1


@pytest.mark.parametrize("text", ["Message(content='12')", "Use ChatCompletion(id='c1').", "content='12'"])
def test_code_that_an_agent_answers_is_its_text(text: str) -> None:
    (found,), _ = read({"messages": [user()], "response": text})
    assert found.messages == [user(), agent(text)]
