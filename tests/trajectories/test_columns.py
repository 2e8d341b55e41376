"""Trajectories become the same Arrow rows by columns as by `from_pylist`."""

import json

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lar.errors import TrajectoryError
from lar.trajectories import PARQUET_SCHEMA, Trajectory
from lar.trajectories.parquet import to_batch

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
function = st.fixed_dictionaries({"name": text, "arguments": text})
call = st.fixed_dictionaries({"id": st.none() | text, "type": st.just("function"), "function": function})
message = st.fixed_dictionaries(
    {"role": st.sampled_from(["user", "assistant", "tool"]), "content": text},
    optional={
        "name": text,
        "tool_call_id": text,
        "reasoning_content": text,
        "tool_calls": st.lists(call, min_size=1, max_size=3),
    },
)
trajectory = st.builds(
    Trajectory,
    id=text,
    task=text,
    messages=st.lists(message, max_size=4),
    success=st.sampled_from([None, True, False]),
    model=st.none() | text,
    source=st.none() | text,
    tools=st.none() | st.lists(st.dictionaries(text, text), max_size=2),
)


def flat(message):
    calls = [{"id": call["id"], "type": call["type"], **call["function"]} for call in message["tool_calls"]]
    return {**message, "tool_calls": calls}


def row(trajectory):
    tools = None if trajectory.tools is None else json.dumps(trajectory.tools, ensure_ascii=False)
    messages = [flat(message) if "tool_calls" in message else message for message in trajectory]
    return {**trajectory.to_dict(), "tools": tools, "messages": messages}


@given(st.lists(trajectory, max_size=5))
def test_columns_are_rows(trajectories):
    expected = pa.RecordBatch.from_pylist(list(map(row, trajectories)), schema=PARQUET_SCHEMA)
    batch = to_batch(trajectories)
    batch.validate(full=True)
    assert batch.equals(expected)


def test_what_does_not_fit_is_an_error():
    for content in ("\ud800", 5):
        with pytest.raises(TrajectoryError, match="does not fit the Parquet schema"):
            to_batch([Trajectory("a", "t", [{"role": "user", "content": content}])])
