"""JSON text in the place of a reply or a question: what someone wrote stays as it is, a body is decoded."""

import json
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lar.trajectories import read_trajectories
from lar.trajectories.formats.interfaces.bodies import reply_body

ASKED = {"role": "user", "content": "What now?"}
# Names that agents' own schemas have, many of which services have too.
NAMES = ["action", "answer", "text", "message", "content", "response", "result", "output", "thought", "args"]
NAMES += ["type", "object", "done", "data"]
VALUES = st.recursive(
    st.one_of(st.text(max_size=8), st.integers(), st.none()),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(NAMES), inner)),
    max_leaves=5,
)
REPLIES = st.one_of(
    st.dictionaries(st.sampled_from(NAMES), VALUES, min_size=1), st.lists(VALUES, min_size=1, max_size=3)
)


def records(text: str) -> list[dict[str, Any]]:
    """A reply in the ways in which logs keep it as text."""
    return [
        {"prompt": "What now?", "completion": text},
        {"messages": [ASKED], "response": text},
        {"messages": [ASKED], "output": text},
        {"request": {"messages": [ASKED]}, "response": text},
        {"request": {"messages": [ASKED]}, "response": {"output": text}},
        {"request": {"messages": [ASKED]}, "response": {"content": text}},
        {"model": "m", "instructions": "Be brief.", "input": "What now?", "output": text},
        {"request": {"model": "m", "max_tokens": 9, "system": "s", "messages": [ASKED]}, "response": text},
    ]


@example({"action": None, "output": {"message": "0"}}, None, 5)
@example({"type": "final_answer", "text": "hi"}, None, 1)
@example({"done": True, "text": "hi"}, None, 1)
@example({"object": "cup", "text": "hi"}, None, 1)
@example({"choices": ["a", "b"], "text": "hi"}, None, 1)
@given(REPLIES, st.sampled_from([None, 2]), st.integers(0, 7))
@settings(deadline=None, max_examples=300)
def test_a_reply_in_json_is_the_text_that_the_agent_wrote(reply, indent, shape):
    text = json.dumps(reply, indent=indent)
    (found,) = read_trajectories([records(text)[shape]])
    assert found.messages[-1] == {"role": "assistant", "content": text}


def questions(text: str) -> list[dict[str, Any]]:
    """A question in the ways in which logs keep it as text."""
    said = {"type": "message", "role": "assistant", "content": "Go."}
    step = {"type": "model_output", "content": [{"type": "text", "text": "Go."}]}
    request = {"model": "m", "input": text}
    return [
        {"prompt": text, "completion": "Go."},
        {"request": {"model": "m", "prompt": text}, "response": {"choices": [{"text": "Go."}]}},
        {"messages": [{"role": "user", "content": text}], "response": "Go."},
        {"request": request, "response": {"object": "response", "output": [said]}},
        {**request, "instructions": "", "output": "Go."},
        {"request": request, "response": {"object": "interaction", "steps": [step]}},
    ]


@example({"bay": 4}, None, 3)
@example([4, 5], None, 4)
@example(["a"], None, 5)
@given(REPLIES, st.sampled_from([None, 2]), st.integers(0, 5))
@settings(deadline=None, max_examples=200)
def test_a_question_in_json_is_the_text_that_a_person_wrote(asked, indent, shape):
    text = json.dumps(asked, indent=indent)
    (found,) = read_trajectories([questions(text)[shape]])
    assert found.messages == [{"role": "user", "content": text}, {"role": "assistant", "content": "Go."}]


@pytest.mark.parametrize("text", ['{"bay": 4}', "[4, 5]", '["a"]', '[{"bay": 4}]'])
def test_so_it_is_where_the_user_names_the_field(text):
    (found,) = read_trajectories([{"q": text, "a": "Go."}], messages_key="q", reply_key="a")
    assert found.messages == [{"role": "user", "content": text}, {"role": "assistant", "content": "Go."}]


def test_items_and_states_of_them_are_decoded():
    said = {"type": "message", "role": "assistant", "content": "Go."}
    asked = [{"type": "message", "role": "user", "content": "What now?"}]
    for output in ([said], [[said]], said):
        response = {"object": "response", "output": json.dumps(output)}
        record = {"request": {"model": "m", "input": json.dumps(asked)}, "response": response}
        (found,) = read_trajectories([record])
        assert [one["content"] for one in found.messages] == ["What now?", "Go."]


@pytest.mark.parametrize(
    "body",
    [
        {"choices": [{"message": {"role": "assistant", "content": "Go."}}]},
        {"object": "response", "output": [{"type": "message", "role": "assistant", "content": "Go."}]},
        {"role": "assistant", "content": [{"type": "text", "text": "Go."}]},
        {"content": [{"type": "text", "text": "Go."}], "stop_reason": "end_turn"},
        {"model": "m", "response": "Go.", "done": True},
        {"message": {"role": "assistant", "content": "Go."}},
        [{"generated_text": "Go."}],
        [{"role": "assistant", "content": "Go."}],
    ],
)
def test_the_body_of_a_service_is_decoded(body):
    assert reply_body(json.dumps(body)) == body
    (found,) = read_trajectories([{"messages": [ASKED], "response": json.dumps(body)}])
    assert found.messages[-1]["content"] == "Go."


@pytest.mark.parametrize("text", ["Go.", "", "{", '{"a": 1', "[1]x", None, 3])
def test_what_is_no_json_stays(text):
    assert reply_body(text) is text


@pytest.mark.parametrize("name", ["result", "response", "output", "message", "completion", "text"])
@pytest.mark.parametrize("inner", [[4, 5], ["a"], {"bay": 4}, {"answer": {"bay": 4}}, "twelve"])
def test_in_a_trace_an_object_of_the_agent_keeps_its_only_member(name, inner):
    text = json.dumps({name: inner})
    about = {"id": "g", "type": "GENERATION", "traceId": "t", "startTime": "x"}
    (found,) = read_trajectories([{**about, "input": "What now?", "output": text}])
    assert found.messages[-1] == {"role": "assistant", "content": text}


@pytest.mark.parametrize("name", ["response", "output", "message"])
def test_in_a_trace_a_message_in_an_object_is_decoded(name):
    text = json.dumps({name: {"role": "assistant", "content": "Go."}})
    about = {"id": "g", "type": "GENERATION", "traceId": "t", "startTime": "x"}
    (found,) = read_trajectories([{**about, "input": "What now?", "output": text}])
    assert found.messages[-1] == {"role": "assistant", "content": "Go."}
