"""No text of a record is lost without a count: characters in are characters kept and characters left out."""

import contextlib
import json
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lar.errors import TrajectoryError
from lar.trajectories import Report, Trajectory, read_trajectories
from lar.trajectories.audit import LABELS, Audit

USER = {"role": "user", "content": "How many crates?"}
SAID = {"role": "assistant", "content": "Twelve."}


def read(record: Any) -> tuple[list[Trajectory], dict[str, int]]:
    report = Report()
    found = list(read_trajectories([record], report=report))
    return found, {path: texts.characters for (_, path), texts in report.left_out.items()}


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, {}),
        ({"note": "a review"}, {"note": 8}),
        ({"usage": {"tier": ["long", "words"]}}, {"usage.tier[]": 9}),
        ({"steps": [{"log": "x y"}, {"log": "z"}]}, {"steps[].log": 4}),
        ({"copy": "Twelve."}, {}),  # a text that the trajectory has
        ({"blob": '{"inner": "of JSON text"}'}, {"blob(json).inner": 12}),
        ({"blob": '{"inner": "a\u2028b"}\n{"inner": "zz"}\r\n'}, {"blob(json)[].inner": 5}),
        ({"blob": 'data: {"inner": "a\u2028b"}\n\ndata: {"inner": "zz"}\n'}, {"blob(json)[].inner": 5}),
        (
            {"blob": 'event: a.b\ndata: {"inner": "zz"}\n\ndata: {"inner": "cut'},
            {"blob(json)[].inner": 2, "blob(json)[]": 14},
        ),
        ({"blob": '{"inner": "zz"}\n{"inner": "cut'}, {"blob(json)[].inner": 2, "blob(json)[]": 14}),
        ({"blob": 'data: {"inner": "zz"}\nand more'}, {"blob(json)[].inner": 2, "blob(json)[]": 8}),
        ({"blob": "data: 12 crates"}, {"blob": 15}),
        ({"blob": "id: 12 crates"}, {"blob": 13}),
        ({"lines": ["event: a.b", "data: [DONE]", "data:image/png;base64,Zm9v"]}, {}),
        ({"llm.0.text": "flat", "llm.1.text": "names"}, {"llm.N.text": 9}),
        ({"both": "Twelve.\nand more"}, {"both": 8}),  # line by line
        ({"model": "m", "status": "done"}, {}),  # labels
        ({"success": "true", "reward": "1.0"}, {}),  # an outcome
        ({"success": "mostly", "reward": "well done"}, {"success": 6, "reward": 9}),
        ({"a": "123e4567-e89b-12d3-a456-426614174000", "b": "2024-05-15T10:23:45Z"}, {}),  # a program's
        ({"note": "2024-05-15T10:23:45Z was late"}, {"note": 29}),
        ({"in": [{"in": [{"in": [{"in": [{"text": "deep"}]}]}]}]}, {"in[].in[].text": 4}),
    ],
)
def test_what_no_trajectory_has_is_counted_by_its_path(fields, expected):
    _, counts = read({"messages": [USER, SAID], **fields})
    assert counts == expected


Found = list[tuple[str, bool]]
word = st.text("abcdefghij", min_size=6, max_size=6)
key = st.sampled_from(
    ["note", "output", "response", "a", "data", "content", "system", "outputs", "choices", "args"]
)
value = st.recursive(
    st.none() | st.booleans() | st.integers() | word,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(key, inner, max_size=3) | inner.map(json.dumps)
    ),
    max_leaves=6,
)


def strings(value: Any, whole: list[set[str]], path: tuple[str, ...], is_own: bool | None) -> Found:
    """The strings of a value, each with whether it must be the agent's: a reply in `choices`, for example.

    `whole`: the texts of everyone, and of the agent. JSON that is one of them as it is, is not opened.
    """
    if isinstance(value, dict):
        return [
            found
            for name, item in value.items()
            if name not in LABELS
            for found in strings(item, whole, (*path, name), _owner(path, name, is_own))
        ]
    if isinstance(value, list):
        return [found for item in value for found in strings(item, whole, path, is_own)]
    if isinstance(value, str):
        must = bool(is_own) and (len(path) == 1 or path[-1] in ("content", "choices"))
        with contextlib.suppress(ValueError):
            inner = json.loads(value)
            if isinstance(inner, dict | list) and value not in whole[must]:
                return strings(inner, whole, path, is_own)
        return [(value, must)]
    return []


def _owner(path: tuple[str, ...], name: str, is_own: bool | None) -> bool | None:
    is_reply = name == "choices" or (not path and name in ("output", "response"))
    return True if is_own is None and is_reply else is_own


def kept_texts(messages: list[Any]) -> str:
    kept = "\n".join(
        "\n".join(
            [
                message["content"],
                message.get("reasoning_content", ""),
                *(call["function"]["arguments"] for call in message.get("tool_calls", ())),
            ]
        )
        for message in messages
    )
    # A text that was cut into messages is held: also one that only stands across their borders by chance.
    return kept + "\n" + "".join(message["content"] for message in messages)


@given(st.dictionaries(key, value, max_size=4), st.lists(value, max_size=3))
@example({"note": '"true"'}, ['"null"', True, '"null"'])
@example({"system": "abcdef", "output": "abcdef"}, [])
@example({"choices": [{"content": "How many"}]}, [])
@example({"system": '{"choices": "aaaaaa"}'}, [])
@example({"system": '{"choices": "aaaaaa"}', "output": '{"choices": "aaaaaa"}'}, [])
@settings(deadline=None, max_examples=200)
def test_characters_in_are_characters_kept_and_characters_left_out(fields, extra):
    """Whatever stands around and in a chat record, every word is in the trajectory or counted."""
    messages = [USER, *({"role": "tool", "content": item} for item in extra), SAID]
    found, counts = read({**fields, "messages": messages})
    every = [message for item in found for message in item.messages]
    spoken = [message for message in every if message["role"] == "assistant"]
    own, whole = kept_texts(spoken), [{message["content"] for message in of} for of in (every, spoken)]
    kept = kept_texts(every) + f"{found[0].id}{found[0].task}{json.dumps(found[0].tools or '')}"
    missing = [
        text
        for text, is_own in strings(fields, whole, (), None) + strings(messages, whole, ("messages",), False)
        if all(one not in (own if is_own else kept) for one in (text, json.dumps(text)[1:-1]))
    ]
    assert sum(counts.values()) == sum(map(len, missing))


HALF = st.sampled_from(["\ud83d", "\udc80"])  # of an emoji; a byte that is not UTF-8, as text logs are read


@given(st.lists(HALF, min_size=1, max_size=3), word, st.sampled_from(["user", "tool", "system"]))
def test_half_a_character_is_counted_where_it_stood(halves, text, role):
    written = text.join([*halves, ""])
    raw = {"role": role, "content": written}
    for copy in ({}, {"copy": written}):
        [found], counts = read({"messages": [USER, raw, SAID], **copy})
        assert found.messages[1] == {"role": role, "content": text.join([*"\ufffd" * len(halves), ""])}
        assert counts == {f"{path} (half a character)": len(halves) for path in ("messages[].content", *copy)}


def test_half_a_character_of_a_text_that_is_left_out_counts_once():
    [_], counts = read({"messages": [USER, SAID], "note": "no \ud83d"})
    assert counts == {"note": 4}


@pytest.mark.parametrize(
    "fields",
    [
        {"content": "a\ud83d"},
        {"reasoning_content": "a\ud83d"},
        {"tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "\ud83d"}}]},
    ],
)
def test_half_a_character_of_the_agent_refuses_its_run(fields):
    with pytest.raises(TrajectoryError, match="message 2: a text of the agent that is not valid UTF-8"):
        read({"messages": [USER, {**SAID, **fields}]})
    [found], _ = read({"messages": [USER, {**SAID, **fields, "weight": 0}, SAID]})  # context is not learnt
    assert "\ufffd" in json.dumps(found.messages, ensure_ascii=False)


YES = {"role": "user", "content": "Is it 4 or 5, yes or no?"}


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"completions": ["yes", "no"]}, {"completions[]": 5}),
        ({"completions": [{"message": {"content": "yes"}}] * 2}, {"completions[].message.content": 6}),
        ({"more": {"choices": [{"text": "yes"}]}}, {"more.choices[].text": 3}),
        ({"output": "yes"}, {"output": 3}),
        ({"output": {"messages": [{"role": "tool", "name": "f", "content": "yes"}]}}, {}),
        ({"more": {"role": "assistant", "content": "yes"}}, {"more.content": 3}),
        ({"more": {"role": "assistant", "content": [{"text": "yes"}]}}, {"more.content[].text": 3}),
        ({"more": {"role": "assistant", "content": SAID["content"]}}, {}),
        ({"more": {"role": "assistant", "name": "Critic", "content": "yes"}}, {}),  # of several speakers
        ({"more": {"role": "user", "raw": {"role": "assistant", "content": "yes"}}}, {}),  # a simulator's
        ({"more": {"type": "human", "content": "yes"}}, {}),
    ],
)
def test_a_reply_is_held_by_a_text_of_the_agent_alone(fields, expected):
    _, counts = read({"messages": [YES, SAID], **fields})
    assert counts == expected


CALL = {"name": "count", "arguments": '{"bay": 4, "deep": true}'}
CALLING = {"role": "assistant", "content": "I look.", "tool_calls": [{"id": "c", "function": CALL}]}
MCP = {"type": "mcp_approval_request", "name": "count", "arguments": '{"bay": 4}', "server_label": ""}


def gemini(name, bay):
    return {"functionCall": {"name": name, "args": {"bay": bay}}}


def openai(name, arguments):
    return {"tool_calls": [{"function": {"name": name, "arguments": arguments}}]}


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        (gemini("count", 4), {}),
        (gemini("count", 4.0), {}),
        (gemini("count", 5), {"functionCall.args": 1}),
        (gemini("close", 4), {"functionCall.name": 5, "functionCall.args": 1}),
        (openai("mcp__s__count", {"deep": True}), {}),
        (openai("count", '{"bay": 5, "deep": true}'), {"tool_calls[].function.arguments": 5}),
        ({"function_call": {"name": "close", "arguments": ""}}, {"function_call.name": 5}),
        (MCP, {}),
        (MCP | {"name": "close"}, {"name": 5, "arguments": 1}),
        ({"type": "tool_use", "name": "run", "input": "I look."}, {}),  # read out of the agent's text
        ({"role": "user", **openai("close", {"bay": 7})}, {}),  # the user's
        ({"type": "tool", "name": "close", "input": {"bay": 7}}, {}),  # no call
    ],
)
def test_the_name_and_the_numbers_of_a_call_are_held_by_one_call(fields, expected):
    _, counts = read({"messages": [YES, CALLING], "more": [fields]})
    assert counts == {f"more[].{path}": characters for path, characters in expected.items()}


def test_a_text_cut_into_messages_is_held():
    trajectory = Trajectory(
        "1", "t", [{"role": "user", "content": "Q: a\n"}, {"role": "assistant", "content": "A: b\n"}]
    )
    assert Audit([trajectory]).left_out({"traj": "Q: a\nA: b\n"}) == {}
    assert Audit([trajectory]).left_out({"traj": "head\nQ: a\nA: b\n"}) == {"traj": 4}


def test_fields_around_the_records_of_a_file_are_counted_once(tmp_path):
    runs = [{"messages": [USER, SAID]}, {"messages": [SAID | {"role": "user"}, SAID]}]
    document = {"title": "before them", "runs": runs, "notes": "behind them"}
    (tmp_path / "whole.json").write_text(json.dumps(document, indent=1))
    (tmp_path / "lines.jsonl").write_text(json.dumps(document) + "\n")
    for name in ("whole.json", "lines.jsonl"):
        report = Report()
        assert len(list(read_trajectories(tmp_path / name, report=report))) == 2
        counts = {path: texts.characters for (_, path), texts in report.left_out.items()}
        assert counts == {"(file).title": 11, "(file).notes": 11}
