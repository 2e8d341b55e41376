"""For all inputs: writing and reading changes nothing, and no bytes crash the reader."""

import gzip
import json
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lar.errors import LarError
from lar.trajectories import Report, Trajectory, read_trajectories, write_trajectories
from lar.trajectories.formats.benchmarks import react
from lar.trajectories.layouts import json_stream

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
name = text.filter(bool)
json_value = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=8,
)
call = st.fixed_dictionaries(
    {
        "id": st.none() | text,
        "type": st.just("function"),
        "function": st.fixed_dictionaries(
            {"name": name, "arguments": text.filter(str.strip)}  # empty arguments are read as {}
        ),
    }
)
message = st.fixed_dictionaries(
    {"role": st.sampled_from(["system", "user", "assistant", "tool"]), "content": text},
    optional={
        "name": text,
        "tool_call_id": text,
        "reasoning_content": name,
        "tool_calls": st.lists(call, min_size=1, max_size=3),
    },
)
# Tools of other interfaces are read into OpenAI chat's form, also where a trajectory had them. Hypothesis
# draws these words from the source.
_OTHER_FORMS = {"name", "toolSpec", "functionDeclarations", "function_declarations"}
tool = st.dictionaries(text, json_value, max_size=3).filter(lambda tool: not _OTHER_FORMS & tool.keys())
trajectory = st.builds(
    Trajectory,
    id=name,
    task=name,
    messages=st.lists(message, max_size=4).map(lambda told: [*told, {"role": "assistant", "content": "a"}]),
    success=st.none() | st.booleans(),
    model=st.none() | name,
    source=st.none() | name,
    tools=st.none() | st.lists(tool, min_size=1, max_size=3),
)


@contextmanager
def folder() -> Iterator[Path]:
    """A fresh folder for each example (a pytest fixture would be shared by all of them)."""
    with tempfile.TemporaryDirectory() as path:
        yield Path(path)


@pytest.mark.parametrize("suffix", ["parquet", "jsonl", "jsonl.gz"])
@given(trajectories=st.lists(trajectory, min_size=1, max_size=5))
@settings(deadline=None, max_examples=40)
def test_what_is_written_is_read_back(suffix: str, trajectories: list[Trajectory]) -> None:
    with folder() as path:
        target = path / f"t.{suffix}"
        assert write_trajectories(trajectories, target) == len(trajectories)
        assert list(read_trajectories(target, strict=True)) == trajectories


@given(content=st.binary(max_size=300), suffix=st.sampled_from(["", ".jsonl", ".json", ".gz", ".yaml"]))
@settings(deadline=None, max_examples=150)
def test_arbitrary_bytes_never_crash(content: bytes, suffix: str) -> None:
    read_hostile(content, suffix)


STARTS = [
    b"\x1f\x8b",
    b"\x28\xb5\x2f\xfd",
    b"PAR1",
    b"[",
    b"{",
    b"history:\n",
    b"Thought: a\nObservation: b\n",
]


@given(start=st.sampled_from(STARTS), content=st.binary(max_size=200), packed=st.booleans())
@settings(deadline=None, max_examples=150)
def test_bytes_behind_a_known_start_never_crash(start: bytes, content: bytes, packed: bool) -> None:
    read_hostile(gzip.compress(start + content) if packed else start + content, "")


KEYS = st.sampled_from(
    re.findall(
        r"\w+",
        """messages role content from value conversations traj history trajectory task_id info em pred query
        answer turn_history actions observations prompt question correct result inference_log train_messages
        answer_generation tool_calls function_call arguments name replay_config simulations react_text""",
    )
)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from(["user", "assistant", "x", "{}", "\ud83d", ""])
)
hostile = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=5),
    max_leaves=25,
)


@given(value=hostile, indent=st.sampled_from([None, 1]))
@settings(deadline=None, max_examples=300)
def test_records_with_the_keys_of_formats_and_anything_in_them_never_crash(
    value: Any, indent: int | None
) -> None:
    read_hostile(json.dumps(value, indent=indent).encode(), "")


def read_hostile(content: bytes, suffix: str) -> None:
    with folder() as path:
        file = path / f"log{suffix}"
        file.write_bytes(content)
        report = Report()
        try:
            found = list(read_trajectories(file, report=report))
        except (LarError, OSError):
            return
        assert found  # reading nothing is an error, never an empty list
        write_trajectories(found, path / "out.parquet")


@given(values=st.lists(json_value, max_size=6), window=st.integers(1, 9), indent=st.sampled_from([None, 1]))
@settings(deadline=None, max_examples=100)
def test_the_window_of_the_scanner_does_not_matter(
    values: list[Any], window: int, indent: int | None
) -> None:
    content = json.dumps(values, ensure_ascii=False, indent=indent).encode()
    before, json_stream.WINDOW = json_stream.WINDOW, window
    try:
        records = json_stream.read_document(BytesIO(content), lambda _: False, lambda _: False)
        assert [record.value for record in records] == values
    finally:
        json_stream.WINDOW = before


@given(content=st.text("Thought:Action 12Observ\n>[]", max_size=80))
def test_turns_put_together_are_the_text(content: str) -> None:
    turns = react.split_turns(content)
    assert "".join(turn["content"] for turn in turns) == content
    assert all(first["role"] != second["role"] for first, second in pairwise(turns))
