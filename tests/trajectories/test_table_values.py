"""Tables: values that JSON has no type for, and several columns with one name."""

import csv
from collections.abc import Iterable
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lar.trajectories import Report, Trajectory, read_trajectories
from lar.trajectories.layouts.rows import rows_of, rows_of_batch
from lar.trajectories.layouts.values import distinct, spelled
from testing.sessions import agent, user

SAID = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello!"}]
NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)


def log(columns: dict[str, list[Any]]) -> list[dict[str, Any]]:
    names = ["messages", *columns]
    return [dict(zip(names, (SAID, *values), strict=True)) for values in zip(*columns.values(), strict=True)]


def tables(rows: list[dict[str, Any]], folder: Path) -> dict[str, Any]:
    """The rows as files, as tables and frames in memory, and as a cursor gives them."""
    arrow = pa.Table.from_pylist(rows)
    pq.write_table(arrow, folder / "log.parquet")
    with pa.ipc.new_file(folder / "log.arrow", arrow.schema) as file:
        file.write_table(arrow)
    found: dict[str, Any] = {"arrow": arrow, "rows": rows}
    found |= {name: folder / name for name in ("log.parquet", "log.arrow")}
    try:
        import pandas
    except ImportError:
        return found
    return found | {"frame": pandas.DataFrame(rows), "frame of arrow": arrow.to_pandas()}


def test_decimals_are_tasks_and_outcomes_in_every_table(tmp_path: Path) -> None:
    rows = log(
        {
            "task": [Decimal("7.00"), Decimal("8.00"), None],
            "success": [Decimal("1.00"), Decimal("0.50"), None],
        }
    )
    for name, table in tables(rows, tmp_path).items():
        found = list(read_trajectories(table))
        outcomes = [one.success for one in found]
        assert ([one.task for one in found][:2], outcomes) == (["7", "8"], [True, False, None]), name
        assert found[2].task.startswith("first_message:"), name


@pytest.mark.parametrize("value", [NOON, NOON.replace(tzinfo=None), NOON.date(), NOON.time()])
def test_times_are_tasks_in_every_table(tmp_path: Path, value: Any) -> None:
    for name, table in tables(log({"at": [value, value]}), tmp_path).items():
        found = list(read_trajectories(table, task_key="at"))
        assert [one.task for one in found] == [value.isoformat()] * 2, name


decimals = st.decimals(-(10**6), 10**6, places=2)
moments = st.datetimes(datetime(1700, 1, 1), datetime(2200, 1, 1))
SCHEMA = pa.schema(
    [
        ("amount", pa.decimal128(12, 2)),
        ("at", pa.timestamp("us")),
        ("there", pa.timestamp("ms", tz="UTC")),
        ("fine", pa.timestamp("ns")),
        ("day", pa.date32()),
        ("hour", pa.time64("us")),
        ("took", pa.duration("ms")),
        ("all", pa.list_(pa.struct([("at", pa.date32()), ("n", pa.decimal128(12, 2))]))),
        ("map", pa.map_(pa.string(), pa.decimal128(12, 2))),
    ]
)


@given(st.lists(st.none() | st.tuples(decimals, moments), max_size=5))
def test_columns_are_spelled_as_their_values_are(values: list[tuple[Decimal, datetime] | None]) -> None:
    rows: list[dict[str, Any]] = [
        dict.fromkeys(SCHEMA.names)
        if pair is None
        else {
            "amount": pair[0],
            "at": pair[1],
            "there": pair[1].replace(microsecond=0, tzinfo=UTC),
            "fine": pair[1],
            "day": pair[1].date(),
            "hour": pair[1].time(),
            "took": timedelta(milliseconds=pair[1].second),
            "all": [{"at": pair[1].date(), "n": pair[0]}],
            "map": [("a", pair[0])],
        }
        for pair in values
    ]
    expected = [
        {name: None if value is None else _json(value) for name, value in row.items()}
        | ({"map": {"a": _json(row["amount"])}} if row["map"] else {})
        for row in rows
    ]
    assert list(rows_of_batch(pa.RecordBatch.from_pylist(rows, schema=SCHEMA))) == expected


def _json(value: Any) -> Any:
    if isinstance(value, list):
        return [{key: _json(item) for key, item in one.items()} for one in value if isinstance(one, dict)]
    if isinstance(value, Decimal):
        return float(value)
    return value.total_seconds() if isinstance(value, timedelta) else value.isoformat()


@pytest.mark.parametrize(
    ("kind", "number", "text"),
    [
        (pa.timestamp("ns"), 1_001, "1970-01-01T00:00:00.000001"),  # Python has no nanoseconds
        (pa.time64("ns"), 1_001, "00:00:00.000001"),
        (pa.duration("ns"), 500_000_001, 0.500000001),
        (pa.timestamp("us", tz="Nowhere/X"), 0, "1970-01-01T00:00:00.000000Z"),
        (pa.timestamp("s"), 316_538_323_200, "12000-09-13T00:00:00"),
        (pa.timestamp("s"), 10**15, "<value out of range: 1000000000000000>"),
    ],
)
def test_times_that_python_has_not_cost_no_record(kind: pa.DataType, number: int, text: Any) -> None:
    column = pa.array([number, None], pa.int64()).view(kind)
    batch = pa.RecordBatch.from_arrays([column], ["at"])
    assert list(rows_of_batch(batch)) == [{"at": text}, {"at": None}]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (Decimal("NaN"), None),
        (Decimal("Infinity"), float("inf")),
        (Decimal("1E+9"), 10**9),
        (Decimal("1E+999999999"), float("inf")),
        (time(1, 2), "01:02:00"),
        (date(2026, 1, 31), "2026-01-31"),
        (True, True),
    ],
)
def test_what_a_value_is_spelled_as(value: Any, expected: Any) -> None:
    assert spelled(value) == expected
    assert type(spelled(value)) is type(expected)


def test_arrays_of_times_in_a_frame_are_spelled() -> None:
    pandas = pytest.importorskip("pandas", reason="needs pandas")
    times = np.array(["2026-01-31T12:00:00", "NaT"], "datetime64[ns]")
    frame = pandas.DataFrame({"times": [times], "gap": [pandas.NaT]})
    assert list(rows_of(frame)) == [{"times": ["2026-01-31T12:00:00", None], "gap": None}]


@given(st.lists(st.sampled_from(["a", "b", "a.2", "a.3", ""])))
def test_each_column_has_a_name_of_its_own(names: list[str]) -> None:
    found = distinct(names)
    assert len(set(found)) == len(names)
    for at, (name, own) in enumerate(zip(names, found, strict=True)):
        assert own == name if name not in names[:at] else own.startswith(f"{name}.")


def of_csv(path: Path, names: list[str], values: list[str]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([names, values])
    return path


def duplicates(folder: Path) -> Iterable[Any]:
    """A join of runs with their reviews: both have the columns `id` and `output`."""
    names = ["id", "instruction", "output", "id", "output"]
    values = ["run-1", "Hi", "Hello!", "review-7", "A fine greeting."]
    yield of_csv(folder / "log.csv", names, values)
    arrow = pa.Table.from_arrays([pa.array([value]) for value in values], names)
    yield arrow
    pq.write_table(arrow, folder / "log.parquet")
    yield folder / "log.parquet"
    try:
        import pandas
    except ImportError:
        return
    yield pandas.DataFrame([values], columns=names)


def test_of_columns_with_one_name_the_first_counts_and_the_others_are_named(tmp_path: Path) -> None:
    for table in duplicates(tmp_path):
        report = Report()
        found: list[Trajectory] = list(read_trajectories(table, report=report))
        assert [(one.id, one.messages) for one in found] == [("run-1", [user("Hi"), agent("Hello!")])]
        assert {path for _, path in report.left_out} == {"id.N", "output.N"}  # the numbers of a path are one
