"""A damaged log of any format is read, or refused with a `TrajectoryError`: nothing else is raised."""

import contextlib
import copy
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lar.errors import TrajectoryError
from lar.trajectories.formats import recognise_entries
from lar.trajectories.json_stream import Record
from lar.trajectories.record import read_record
from testing.sessions import LOGS

FILES = sorted(path for path in LOGS.rglob("*") if path.suffix in (".json", ".jsonl"))
JUNK = (None, True, 0, 1.5, "", "x", "{", [], {}, [None], [{}], {"a": 1}, {"type": "text"}, {"parts": None})


def records(text: str) -> list[Record]:
    """The records of a file: one of all entries, or one for each."""
    try:
        values: list[Any] = [json.loads(text)]
        entries = values[0] if isinstance(values[0], list) else []
    except ValueError:
        values = entries = [json.loads(line) for line in text.splitlines()]
    if entries and recognise_entries(entries) is not None:
        return [Record(entries, 1, whole_file=True)]
    return [Record(value, 1) for value in values]


def places(value: Any) -> list[tuple[Any, Any]]:
    """Every container within `value` with each of its keys or indices."""
    found: list[tuple[Any, Any]] = []
    if isinstance(value, dict | list):
        for key in list(value) if isinstance(value, dict) else range(len(value)):
            found += [(value, key), *places(value[key])]
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.name}")
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_a_damaged_record_is_read_or_refused(path: Any, data: st.DataObject) -> None:
    record = data.draw(st.sampled_from(records(path.read_text(encoding="utf-8"))))
    value = copy.deepcopy(record.value)
    for _ in range(data.draw(st.integers(1, 3))):
        container, key = data.draw(st.sampled_from(places(value)))
        if data.draw(st.booleans()):
            container[key] = copy.deepcopy(data.draw(st.sampled_from(JUNK)))
        else:
            del container[key]
        if not places(value):
            break
    with contextlib.suppress(TrajectoryError):
        read_record(Record(value, 1, whole_file=record.whole_file), "log")
