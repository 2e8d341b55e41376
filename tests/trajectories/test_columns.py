"""Trajectories become the same Arrow rows by columns as by `from_pylist`."""

import json

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lar.errors import TrajectoryError
from lar.trajectories import PARQUET_SCHEMA, Trajectory
from lar.trajectories.layouts.parquet import to_batch
from lar.trajectories.layouts.rows import rows_of_batch, without_nulls

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


plain_value = st.none() | st.integers(-9, 9) | text
nested = st.fixed_dictionaries(
    {
        "a": plain_value,
        "list": st.none() | st.lists(st.none() | st.integers(0, 9), max_size=3),
        "rows": st.none()
        | st.lists(
            st.none() | st.fixed_dictionaries({"x": st.none() | text, "y": st.none() | text}), max_size=3
        ),
        "twice": st.none()
        | st.fixed_dictionaries({"in": st.none() | st.fixed_dictionaries({"x": st.none() | text})}),
        "maps": st.none()
        | st.fixed_dictionaries({"in": st.none() | st.lists(st.tuples(text, st.none()), max_size=1)}),
        "deep": st.none() | st.fixed_dictionaries({"in": st.none() | st.lists(text, max_size=2)}),
        "map": st.none()
        | st.lists(st.tuples(text, st.none() | text), max_size=2, unique_by=lambda pair: pair[0]),
        "empty": st.none() | st.just({}),
    }
)
NESTED = pa.schema(
    [
        ("a", pa.string()),
        ("list", pa.large_list(pa.int64())),
        ("rows", pa.list_(pa.struct([("x", pa.string()), ("y", pa.string())]))),
        ("twice", pa.struct([("in", pa.struct([("x", pa.string())]))])),
        ("maps", pa.struct([("in", pa.map_(pa.string(), pa.string()))])),
        ("deep", pa.struct([("in", pa.list_(pa.string()))])),
        ("map", pa.map_(pa.string(), pa.string())),
        ("empty", pa.struct([])),
    ]
)


@given(st.lists(nested, max_size=5), st.integers(0, 2))
def test_rows_of_a_batch_are_those_of_to_pylist_without_nulls(rows, start):
    rows = [{**row, "a": None if row["a"] is None else str(row["a"])} for row in rows]
    batch = pa.RecordBatch.from_pylist(rows, schema=NESTED).slice(start)
    expected = [without_nulls(row) for row in batch.to_pylist(maps_as_pydicts="lossy")]
    assert list(rows_of_batch(batch)) == expected
