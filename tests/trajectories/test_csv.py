"""Tables as text: the messages stand in a column, as JSON."""

import csv
import io
import json
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lar.errors import TrajectoryError
from lar.trajectories.layouts.csv_rows import read_rows
from lar.trajectories.layouts.record import BrokenRecordError, Record
from testing.sessions import agent, call, read, result, user

MESSAGES = [
    {"role": "user", "content": 'Count bay 4,\n"please"'},
    {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"id": "c1", "name": "count", "arguments": '{"bay":4}'}],
    },
    {"role": "tool", "content": "12", "tool_call_id": "c1"},
    {"role": "assistant", "content": "x" * 200_000},
]
EXPECTED = [
    user('Count bay 4,\n"please"'),
    agent("", call("count", '{"bay":4}', "c1")),
    result("12", None, "c1"),
    agent("x" * 200_000),
]


def write(path: Path, delimiter: str = ",") -> Path:
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        rows = csv.writer(file, delimiter=delimiter)
        rows.writerow(["id", "model", "messages", "notes"])
        rows.writerow(["a", "acme-1", json.dumps(MESSAGES), ""])
        rows.writerow(["b", "acme-1", json.dumps(MESSAGES[:1] + MESSAGES[3:]), "short"])
    return path


@pytest.mark.parametrize(("name", "delimiter"), [("log.csv", ","), ("log.tsv", "\t")])
def test_messages_in_a_column(tmp_path: Path, name: str, delimiter: str) -> None:
    (first, second), report = read(write(tmp_path / name, delimiter), strict=True)
    assert first.messages == EXPECTED
    assert second.messages == [EXPECTED[0], EXPECTED[3]]
    assert (first.id, first.model) == ("a", "acme-1")
    assert ("chat", "notes") in report.left_out


def test_outcomes_in_a_column(tmp_path: Path) -> None:
    outcomes = {"True": True, "False": False, "1": True, "0": False, "": None}
    with (tmp_path / "log.csv").open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["instruction", "output", "success"])
        rows.writerows([f"question {value}", "yes", value] for value in outcomes)
    found, _ = read(tmp_path / "log.csv", strict=True)
    assert [one.success for one in found] == list(outcomes.values())


@pytest.mark.parametrize("sign", ["\u2028", "\x85", "\x0b", "\x0c", "\x1c", "\x1e", "\r", "\n", "\r\n"])
def test_a_field_may_hold_any_sign_that_parts_lines_elsewhere(tmp_path: Path, sign: str) -> None:
    with (tmp_path / "log.csv").open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerows([["instruction", "output"], [f"hello{sign}world", "yes"], ["foo", f"bar{sign}baz"]])
    found, _ = read(tmp_path / "log.csv", strict=True)
    assert [one.messages for one in found] == [
        [user(f"hello{sign}world"), agent("yes")],
        [user("foo"), agent(f"bar{sign}baz")],
    ]


field = st.text('a\n\r," ', max_size=6)


@given(rows=st.lists(st.tuples(field, field.map("x{}".format)), min_size=1, max_size=5), blank=st.booleans())
@settings(deadline=None)
def test_a_record_stands_at_the_line_it_begins_at(rows: list[tuple[str, str]], *, blank: bool) -> None:
    before, places, lines = io.StringIO(newline=""), [], 2
    csv.writer(before).writerow(["a", "b"])
    for row in rows:
        if blank:
            before.write("\r\n")
            lines += 1
        places.append(lines)
        start = before.tell()
        csv.writer(before).writerow(row)
        lines += len(re.findall("\r\n|\r|\n", before.getvalue()[start:]))
    found = list(read_rows(io.BytesIO(before.getvalue().encode()), "log.csv"))
    assert [record.line for record in found] == places
    assert [record.number for record in found] == list(range(1, len(rows) + 1))
    assert [tuple(one.value.values()) for one in found if isinstance(one, Record)] == [
        (first or None, second) for first, second in rows
    ]


@pytest.mark.parametrize("names", ["speaker,text,conv_uid", "role,content,conversation_id"])
def test_a_table_of_messages_with_other_names_says_what_it_needs(tmp_path: Path, names: str) -> None:
    path = tmp_path / "log.csv"
    path.write_text(f'{names}\ncustomer,"Count\nbay 4",a\nbot,Twelve.,a\n')
    with pytest.raises(TrajectoryError) as error:
        read(path)
    first = (
        f"{path}, record 1, line 2: an object with the keys {names.replace(',', ', ')} is of no known format"
    )
    assert f": {first} (" in str(error.value)
    assert "rename its fields to role (system, user, assistant or tool), content and conversation_id" in str(
        error.value
    )
    path.write_text('role,content,conversation_id\nuser,"Count\nbay 4",a\nassistant,Twelve.,a\n')
    (found,), _ = read(path, strict=True)
    assert found.messages == [user("Count\nbay 4"), agent("Twelve.")]


def test_the_table_is_parted_at_carriage_returns_too(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_bytes(b"instruction,output\rfoo,bar\r")
    [found], _ = read(tmp_path / "log.csv", strict=True)
    assert found.messages == [user("foo"), agent("bar")]


def test_broken_rows_are_one_clear_problem(tmp_path: Path) -> None:
    path = write(tmp_path / "log.csv")
    whole = path.read_bytes()
    for broken, message in [
        (whole.replace(b"a,acme-1", b"0,1,2,3,4\r\na,acme-1"), "more fields"),
        (whole + b'c,"d', "not a readable table"),
        (whole + b'c,\xff,"[{""role"":""assistant"",""content"":""x""}]",\r\n', "not valid UTF-8"),
    ]:
        path.write_bytes(broken)
        found, report = read(path)
        assert len(found) == 2
        assert report.problems.count == 1
        assert message in report.problems.summary()


word = st.text("a,é ", min_size=2, max_size=5)


@given(st.lists(st.lists(word, min_size=3, max_size=3), min_size=1, max_size=12), st.data())
@settings(deadline=None)
def test_a_stray_quote_costs_its_row_alone(rows: list[list[str]], data: st.DataObject) -> None:
    broken = data.draw(st.sets(st.integers(0, len(rows) - 1), min_size=1))
    lines = ['"a","b","c"', *(",".join(f'"{value}"' for value in row) for row in rows)]
    for number in broken:
        lines[number + 1] = f'"x"y{lines[number + 1][1:]}'
    found = list(read_rows(io.BytesIO("\n".join(lines).encode()), "log.csv"))
    assert [(one.number, one.line) for one in found] == [(at + 1, at + 2) for at in range(len(rows))]
    for at, one in enumerate(found):
        if at in broken:
            assert isinstance(one, BrokenRecordError)
            assert str(one).startswith("not a readable table: ")
        else:
            assert isinstance(one, Record)
            assert list(one.value.values()) == rows[at]


def test_what_a_broken_row_takes_with_it_is_named(tmp_path: Path) -> None:
    """A field of several lines is torn apart at its quote, and its rest is no row, whatever its fields."""
    path = tmp_path / "log.csv"
    torn = 'id2,"Say "hi" please,\nall of you,\nand go",yes'
    open_quote = 'id3,"hello,yes\nid4,foo,yes\nid5,"foo",yes'
    path.write_text(f"id,instruction,output\nid1,foo,yes\n{torn}\nid6,bar,yes\n{open_quote}\nid7,baz,yes\n")
    found, report = read(path)
    assert [one.id for one in found] == ["id1", "id6", "id7"]
    reason, rest = "not a readable table: ',' expected after '\"'", "the rest of a broken row"
    assert [(one.record, one.line, one.reason) for one in report.problems.records] == [
        (2, 3, reason),
        (3, 4, f"{rest}, by its quotes"),
        (4, 5, f"{rest}, by its quotes"),
        (6, 7, f"{reason}; lines 7 to 9 are not read"),
    ]


def test_the_rest_of_a_broken_row_is_no_record_though_it_looks_like_one() -> None:
    torn = 'id2,"Say "hi",\nall, of, you\nand go",yes'
    table = f"id,instruction,output\n{torn}\nid6,bar,yes\n".encode()
    found = list(read_rows(io.BytesIO(table), "log.csv"))
    assert [type(one) for one in found] == [*[BrokenRecordError] * 3, Record]


def test_rows_with_odd_quotes_or_fewer_fields_are_read_behind_a_broken_one() -> None:
    rows = ['1,a 5" disk,x', "2,b", "3,c,y"]
    for broken in ('0,"x"y,z', '0,"x" y'):
        table = "\n".join(["id,text,more", broken, *rows]).encode()
        found = list(read_rows(io.BytesIO(table), "log.csv"))
        assert [one.value["id"] for one in found if isinstance(one, Record)] == ["1", "2", "3"]


def test_a_table_without_readable_names_is_refused() -> None:
    with pytest.raises(BrokenRecordError, match="not a readable table") as error:
        list(read_rows(io.BytesIO(b'"a"b,c\n1,2\n'), "log.csv"))
    assert (error.value.line, error.value.number) == (1, 1)
