"""No text of a record is lost without a count: characters in are characters kept and characters left out."""

import json
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lar.trajectories import Report, Trajectory, read_trajectories
from lar.trajectories.audit import LABELS, left_out

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
    ],
)
def test_what_no_trajectory_has_is_counted_by_its_path(fields, expected):
    _, counts = read({"messages": [USER, SAID], **fields})
    assert counts == expected


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


def strings(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [text for name, item in value.items() if name not in LABELS for text in strings(item)]
    if isinstance(value, list):
        return [text for item in value for text in strings(item)]
    if isinstance(value, str):
        try:
            inner = json.loads(value)
        except ValueError:
            return [value]
        return strings(inner) if isinstance(inner, dict | list) else [value]
    return []


@given(st.dictionaries(key, value, max_size=4), st.lists(value, max_size=3))
@example({"note": '"true"'}, ['"null"', True, '"null"'])
@settings(deadline=None, max_examples=200)
def test_characters_in_are_characters_kept_and_characters_left_out(fields, extra):
    """Whatever stands around and in a chat record, every word is in the trajectory or counted."""
    messages = [USER, *({"role": "tool", "content": item} for item in extra), SAID]
    found, counts = read({**fields, "messages": messages})
    kept = "\n".join(
        "\n".join(
            [
                message["content"],
                message.get("reasoning_content", ""),
                *(call["function"]["arguments"] for call in message.get("tool_calls", ())),
            ]
        )
        for item in found
        for message in item.messages
    )
    # A text that was cut into messages is held: also one that only stands across their borders by chance.
    kept += "\n" + "".join(message["content"] for item in found for message in item.messages)
    named = f"{found[0].id}{found[0].task}{json.dumps(found[0].tools or '')}"
    missing = [
        text
        for text in strings({**fields, "messages": messages})
        if text not in kept and json.dumps(text)[1:-1] not in kept and text not in named
    ]
    assert sum(counts.values()) == sum(map(len, missing))


def test_a_text_cut_into_messages_is_held():
    trajectory = Trajectory(
        "1", "t", [{"role": "user", "content": "Q: a\n"}, {"role": "assistant", "content": "A: b\n"}]
    )
    assert left_out({"traj": "Q: a\nA: b\n"}, [trajectory]) == {}
    assert left_out({"traj": "head\nQ: a\nA: b\n"}, [trajectory]) == {"traj": 4}


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
