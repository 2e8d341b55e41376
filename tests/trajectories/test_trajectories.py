"""Reading: files and folders, tasks, bad records and unreadable files, writing."""

import gzip
import json
import random
import re
import tracemalloc
import zlib
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from lar.errors import OptionError, TrajectoryError
from lar.trajectories import (
    PARQUET_SCHEMA,
    BadRecordWarning,
    Problem,
    Problems,
    Report,
    Trajectory,
    read_trajectories,
    write_trajectories,
)
from lar.trajectories.formats import SMALLEST
from lar.trajectories.importing import import_logs
from lar.trajectories.layouts import json_stream
from testing.sessions import LOGS


def talk(said: str = "hi", **fields: Any) -> dict[str, Any]:
    messages = [{"role": "user", "content": said}, {"role": "assistant", "content": "yes"}]
    return {"messages": messages, **fields}


def lines(*records: Any) -> str:
    return "".join((record if isinstance(record, str) else json.dumps(record)) + "\n" for record in records)


def read(path: Path, **options: Any) -> tuple[list[Trajectory], Problems]:
    report = Report()
    problems = report.problems
    return list(read_trajectories(path, report=report, **options)), problems


@pytest.mark.parametrize(
    "bad", ['{"messages": [', "not JSON", '{"a": 1}', "3", '{"messages": []}', "[" * 100_000]
)
def test_a_broken_line_costs_that_line_alone_and_is_named(tmp_path: Path, bad: str) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text(lines(talk("a"), bad, talk("b"), "", talk("c")))
    found, problems = read(path)
    assert [item.messages[0]["content"] for item in found] == ["a", "b", "c"]
    assert problems.count == 1
    assert str(problems.records[0]).startswith(f"{path}, record 2, line 2: ")
    assert "\n" not in str(problems.records[0])
    with pytest.raises(TrajectoryError, match=r"record 2, line 2"):
        list(read_trajectories(path, strict=True))


@pytest.mark.parametrize("broken_first", [True, False])
def test_lines_are_told_from_documents_without_a_name(tmp_path: Path, broken_first: bool) -> None:
    path = tmp_path / "log"
    path.write_text(
        lines(*(['{"messages": [{'] if broken_first else []), talk("a"), talk("b"), "{", talk("c"))
    )
    found, problems = read(path)
    assert len(found) == 3
    assert problems.count == 1 + broken_first


def test_without_problems_the_caller_is_warned(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text(lines(talk(), "{"))
    with pytest.warns(BadRecordWarning, match="1 bad record; first: .*line 2"):
        assert len(list(read_trajectories(path))) == 1


def test_many_problems_are_counted_and_few_are_kept() -> None:
    report = Report(problems=Problems(keep=3, keep_of_file=2))
    problems = report.problems
    for number in range(10):
        problems.add(json_problem(Path("a"), number))
    problems.add(json_problem(Path("b"), 1))
    assert problems.count == 11
    assert [str(item.path) for item in problems.records] == ["a", "a", "b"]
    assert [(str(group.first.path), group.count) for group in problems.groups()] == [("a", 10), ("b", 1)]


FAULTS = ["message {}: unknown role", "a tool named '{}' is not there", "cut off"]
FOUND = st.lists(
    st.builds(
        lambda path, fault, number: Problem(path, fault.format(number), record=number),
        *(st.sampled_from(["a", "b", "c"]), st.sampled_from(FAULTS), st.integers(1, 99)),
    ),
    min_size=1,
)


@given(FOUND, st.integers(0, 99), st.integers(1, 4))
def test_each_problem_is_in_one_group_of_its_file(
    found: list[Problem], cut: int, reasons_of_file: int
) -> None:
    """Also where two parts of the logs are merged, and where a file has more reasons than are kept apart."""
    merged, second = Problems(reasons_of_file=reasons_of_file), Problems(reasons_of_file=reasons_of_file)
    for place, problem in enumerate(found):
        (merged if place < cut else second).add(problem)
    merged.merge(second)
    groups = list(merged.groups())
    assert merged.count == len(found)
    for path in {problem.path for problem in found}:
        of_file = [group for group in groups if group.first.path == path]
        assert sum(group.count for group in of_file) == sum(problem.path == path for problem in found)
        assert len(of_file) <= min(len(FAULTS), reasons_of_file + 1)
        assert of_file[0].first == next(problem for problem in found if problem.path == path)


def json_problem(path: Path, number: int) -> Any:
    return Problem(path, "bad", number)


UNREADABLE = {
    "empty": (b"", "empty"),
    "blank": (b" \n\n", "empty"),
    "binary": (b"\x7fELF\x00\x01\x02", "binary data, of no known format"),
    "prose": (b"Dear diary,\n\nnothing happened.\n", "not a log of a known format (lar import"),
    "broken gzip": (gzip.compress(b"x" * 1000)[:20], "broken compressed data"),
    "no gzip": (b"\x1f\x8bnonsense", "broken compressed data"),
    "broken parquet": (b"PAR1nonsensePAR1", "not a readable Parquet file"),
    "unknown JSON": (
        b'{"weather": "fine"}',
        "an object with the keys weather is of no known format (lar import",
    ),
    "cut": (b'{"messages": [{"role": "user", "content": "a', "cut off"),
    "wrong YAML": (b"history:\n  - a: [\n", "not YAML"),
}


@pytest.mark.parametrize("kind", UNREADABLE)
def test_an_unreadable_file_is_one_clear_line(tmp_path: Path, kind: str) -> None:
    content, message = UNREADABLE[kind]
    path = tmp_path / "log"
    path.write_bytes(content)
    with pytest.raises(TrajectoryError) as caught:
        list(read_trajectories(path))
    assert message in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert ("the smallest record that is read" in str(caught.value)) is ("known format" in message)


def test_the_smallest_record_of_the_message_is_read() -> None:
    record = SMALLEST[SMALLEST.index("{") : SMALLEST.rindex("}") + 1]
    for value in ("the task", "assistant", "hello"):
        record = record.replace("...", json.dumps(value), 1)
    [found] = read_trajectories([json.loads(record)])
    assert (found.task, found.messages) == ("the task", [{"role": "assistant", "content": "hello"}])


@pytest.mark.parametrize(
    ("name", "expected"),
    [("openai", "chat"), ("claude", "claude_code"), ("open_code", "opencode"), ("Gemini", "gemini_cli")],
)
def test_an_unknown_format_is_told_those_that_are_like_it(name: str, expected: str) -> None:
    with pytest.raises(OptionError, match=rf"unknown format '{name}'; did you mean .*\b{expected} \("):
        read_trajectories([], format=name)


def test_missing_files_and_unknown_formats_are_refused_before_reading(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere: no such file or folder"):
        read_trajectories([tmp_path / "nowhere"])
    with pytest.raises(OptionError, match="unknown format 'xml'; lar import --help lists them"):
        read_trajectories(tmp_path, format="xml")
    with pytest.raises(TrajectoryError, match="there is nothing to read"):
        list(read_trajectories(tmp_path))


def test_a_folder_is_walked_in_order_and_strangers_are_named(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "2.json").write_text(json.dumps(talk("two")))
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(lines(talk("one")).encode()))
    (tmp_path / "notes.md").write_text("# My runs\n")
    (tmp_path / ".hidden").write_text("x")
    found, problems = read(tmp_path)
    assert [item.messages[0]["content"] for item in found] == ["one", "two"]
    assert [item.source for item in found] == [f"{tmp_path.name}/a.jsonl.gz", f"{tmp_path.name}/b/2.json"]
    assert [problem.path.name for problem in problems.records] == ["notes.md"]


def test_files_of_one_name_are_told_apart(tmp_path: Path) -> None:
    paths = [tmp_path / run / "log.jsonl" for run in ("a", "b")]
    for path in paths:
        path.parent.mkdir()
        path.write_text(lines(talk()))
    found = list(read_trajectories(paths))
    assert [item.id for item in found] == [f"{path}:1" for path in paths]


def test_records_on_one_line_are_told_apart(tmp_path: Path) -> None:
    named = {"flights": talk("a"), "note": "of both", "hotels": talk("b")}
    values = [[talk("a"), talk("b")], talk("c"), named, {"runs": [talk("d"), talk("e")]}, named]
    (tmp_path / "log.jsonl").write_text(lines(*values))
    report = Report()
    found = list(read_trajectories(tmp_path / "log.jsonl", report=report))
    names = ["1/1", "1/2", "2", "3/flights", "3/hotels", "4/1", "4/2", "5/flights", "5/hotels"]
    assert [item.id for item in found] == [f"log.jsonl:{name}" for name in names]
    [((_, path), texts)] = report.left_out.items()
    assert (path, texts.characters) == ("(file).note", 2 * len("of both"))


def test_invalid_utf8_is_repaired_but_in_the_agents_text_it_costs_its_record(tmp_path: Path) -> None:
    asked = json.dumps(talk("X")).encode().replace(b"X", b"\xff\\udead")
    said = [json.dumps(talk("a")).encode().replace(b"yes", half) for half in (b"\xff\xfe", b"\\ud83d")]
    (tmp_path / "lines.jsonl").write_bytes(b"\n".join([asked, *said, asked]))
    (tmp_path / "array.json").write_bytes(b"[" + b",\n".join([asked, *said, asked]) + b"]")
    found, problems = read(tmp_path)
    assert [item.messages[0]["content"] for item in found] == ["\ufffd\ufffd"] * 4
    assert [(problem.path.name, problem.line) for problem in problems.records] == [
        ("array.json", 2),
        ("array.json", 3),
        ("lines.jsonl", 2),
        ("lines.jsonl", 3),
    ]


def test_a_byte_order_mark_is_no_part_of_the_data(tmp_path: Path) -> None:
    for name, content in {"a.jsonl": lines(talk(), talk()), "b.json": json.dumps([talk()])}.items():
        (tmp_path / name).write_text(content, encoding="utf-8-sig")
    assert len(list(read_trajectories(tmp_path, strict=True))) == 3


def test_an_array_that_breaks_off_gives_what_stands_before(tmp_path: Path) -> None:
    path = tmp_path / "log.json"
    path.write_text(json.dumps([talk("a"), talk("b"), talk("c")], indent=1)[:-60])
    found, problems = read(path)
    assert [item.messages[0]["content"] for item in found] == ["a", "b"]
    assert problems.count == 1
    assert problems.records[0].record == 3
    assert "cut off" in str(problems.records[0])


@pytest.mark.parametrize("bad", ["{'a': 1}", '{"a": tru}', '{"a": [1 2]}', "[" * 100_000, '{"é": é}'])
@pytest.mark.parametrize("form", ["array", "member", "by name", "in a row"])
def test_what_follows_a_malformed_element_is_counted(tmp_path: Path, bad: str, form: str) -> None:
    """The rest of a document cannot be read; the bytes of it are told."""
    values = [json.dumps(talk(name), indent=1) for name in "abcd"]
    values[2] = bad
    text = {
        "array": f"[{', '.join(values)}]",
        "member": f'{{"runs": [{", ".join(values)}], "n": 4}}',
        "by name": "{" + ", ".join(f'"{at}": {value}' for at, value in enumerate(values)) + "}",
        "in a row": "\n".join(values),
    }[form]
    path = tmp_path / "log.json"
    path.write_text(text, encoding="utf-8")
    found, problems = read(path)
    assert [item.messages[0]["content"] for item in found] == ["a", "b"]
    [problem] = problems.records
    unread = int(
        re.findall(r"; from here on, ([\d,]+) bytes of the file", problem.reason)[0].replace(",", "")
    )
    behind = len(text[text.index(bad) :].encode())
    # What is no element of an array is decoded by its members, up to the one that is malformed.
    least = behind - (len(bad.encode()) if form in ("by name", "in a row") else 0)
    assert least <= unread <= behind


def test_gzip_that_breaks_off_gives_what_stands_before(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl.gz"
    generator = random.Random(0)
    noise = [talk(generator.randbytes(1500).hex()) for _ in range(300)]
    packed = gzip.compress(lines(*noise).encode())
    path.write_bytes(packed[: len(packed) * 3 // 4])
    found, problems = read(path)
    assert 0 < len(found) < 300
    assert problems.records[0].record == len(found) + 1
    assert "broken compressed data" in str(problems.records[0])


SESSIONS = [
    LOGS / "claude_code" / "session.jsonl",
    LOGS / "codex" / "rollout-events.jsonl",
    LOGS / "aider" / ".aider.chat.history.md",
]


@pytest.mark.parametrize("name", SESSIONS, ids=lambda path: path.parent.name)
@given(data=st.data())
@settings(max_examples=15, deadline=None)
def test_a_compressed_session_that_breaks_off_gives_what_stands_before(
    data: st.DataObject, name: Path
) -> None:
    """As much as the plain file with the whole lines before the break."""
    text = name.read_bytes()
    packed = gzip.compress(text)
    cut = packed[: data.draw(st.integers(min_value=len(packed) * 2 // 3, max_value=len(packed) - 1))]
    before = zlib.decompressobj(wbits=31).decompress(cut)
    with TemporaryDirectory() as folder:
        plain, broken = Path(folder) / f"{name.name}", Path(folder) / f"{name.name}.gz"
        plain.write_bytes(before[: before.rfind(b"\n") + 1])
        broken.write_bytes(cut)
        try:
            expected, others = read(plain)
        except TrajectoryError:
            reject()  # before the first turn of the agent
        found, problems = read(broken)
    assert [one.messages for one in found] == [one.messages for one in expected]
    assert problems.count == others.count + 1
    assert "broken compressed data" in str(problems.records[-1])


def test_zstandard(tmp_path: Path) -> None:
    zstandard = pytest.importorskip("zstandard", reason="the package zstandard is optional")
    path = tmp_path / "log.jsonl.zst"
    packed = zstandard.compress(lines(*[talk(str(number)) for number in range(500)]).encode())
    path.write_bytes(packed)
    assert len(list(read_trajectories(path, strict=True))) == 500
    path.write_bytes(packed + packed)  # two frames
    assert len(list(read_trajectories(path, strict=True))) == 1000
    for broken in (packed[:-5], packed[:20] + b"broken", packed + packed[:-5]):
        path.write_bytes(broken)
        with pytest.raises(TrajectoryError, match="broken compressed data"):
            list(read_trajectories(path, strict=True))


def test_task_key(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text(lines(talk(task="t", meta={"ids": ["x", 7]}), talk(meta={"ids": []})))
    found, problems = read(path, task_key="meta.ids.1")
    assert [item.task for item in found] == ["7"]
    assert "no text or number at the task key 'meta.ids.1'" in str(problems.records[0])


def test_a_task_key_without_the_path_before_it_is_told_the_whole_path(tmp_path: Path) -> None:
    """What the error names is a task key that reads the record."""
    path = tmp_path / "log.jsonl"
    path.write_text(lines(talk(issue=None, metadata={"issue": [], "ids": ["x"], "run": {"issue": 7}})))
    with pytest.raises(TrajectoryError, match=r"the task key 'issue' \(there is one at ") as error:
        read(path, task_key="issue")
    named = re.findall(r"there is one at '(.*?)'", str(error.value))
    assert [item.task for item in read(path, task_key=named[0])[0]] == ["7"]
    with pytest.raises(TrajectoryError, match=r"the task key 'none'$"):
        read(path, task_key="none")


def test_a_task_that_is_not_a_number_is_none(tmp_path: Path) -> None:
    """NaN is what Python writes for a missing value of a table; such runs have no task in common."""
    path = tmp_path / "log.jsonl"
    path.write_text(lines(talk("1", meta=1), talk("2", meta=float("nan")), talk("3", meta=True)))
    found, problems = read(path, task_key="meta")
    assert [item.task for item in found] == ["1", "True"]
    assert "no text or number at the task key 'meta'" in str(problems.records[0])


OUTCOMES: list[tuple[Any, bool | None]] = [
    *((True, True), (1, True), (1.0, True), ("true", True), ("1", True), ("True", True), (2.5, True)),
    *((False, False), (0, False), (0.0, False), (0.5, False), ("false", False), ("0.0", False)),
    *((None, None), ("", None), (float("nan"), None)),
    *((word, True) for word in ("yes", "YES", "Success", "succeeded", "pass", " Passed ", "TRUE")),
    *((word, False) for word in ("no", "No", "failure", "Failed", "fail", "FALSE")),
]


@pytest.mark.parametrize("key", ["passed", "meta.passed", "meta.0.passed"])
def test_success_key(tmp_path: Path, key: str) -> None:
    def record(outcome: Any) -> dict[str, Any]:
        value: Any = outcome
        for step in reversed(key.split(".")):
            value = [value] if step == "0" else {step: value}
        return talk(success=outcome is None, **value)  # the format's own outcome does not count

    path = tmp_path / "log.jsonl"
    path.write_text(lines(*[record(outcome) for outcome, _ in OUTCOMES], talk(success=True)))
    expected = [*(success for _, success in OUTCOMES), None]
    found, problems = read(path, success_key=key)
    assert [item.success for item in found] == expected
    assert problems.count == 0
    report = Report()
    tally = import_logs([path], tmp_path / "out.parquet", success_key=key, report=report)
    assert [item.success for item in read_trajectories(tmp_path / "out.parquet")] == expected
    assert tally.success == Counter(expected)


@pytest.mark.parametrize("value", ["ok", "done", "resolved", [], {}, [True], "0 of 3", "x" * 200])
def test_what_is_no_outcome_at_the_success_key_is_a_bad_record(tmp_path: Path, value: Any) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text(lines(talk(status=value), talk(status=True)))
    found, problems = read(path, success_key="status")
    assert [item.success for item in found] == [True]
    (problem,) = problems.records
    assert problem.reason.startswith(f"no outcome at the success key 'status': {repr(value)[:39]}")
    assert "passed" in problem.reason
    assert problem.record == 1


@pytest.mark.parametrize("task_key", [None, "task_id"])
@pytest.mark.parametrize("name", ["log.jsonl", "log.parquet"])
def test_a_column_of_numbers_with_a_gap_names_the_tasks(
    tmp_path: Path, name: str, task_key: str | None
) -> None:
    tasks = [5.0, 5.0, None, 6.5]
    rows = [{"task_id": task, **talk(f"{number}")} for number, task in enumerate(tasks)]
    path = tmp_path / name
    if name == "log.jsonl":
        path.write_text(lines(*rows))
    else:
        pq.write_table(pa.Table.from_pylist(rows), path)
    found = [item.task for item in read(path, task_key=task_key)[0]]
    assert found[:2] == (["5", "5"] if task_key else ["chat/5", "chat/5"])
    assert len(found) == (3 if task_key else 4)  # without a value at the task key: a bad record
    assert not task_key or found[2] == "6.5"


def test_numbers_of_tasks_are_told_apart_by_their_dataset(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text(lines(talk(task_id=0), talk(task_id=0, dataset="web"), talk("first"), talk("second")))
    found, _ = read(path)
    assert [item.task for item in found[:2]] == ["chat/0", "web/0"]
    assert len({item.task for item in found}) == 4


def test_a_forced_format_refuses_other_records(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text(lines(talk(), talk()))
    assert len(read(path, format="chat")[0]) == 2
    with pytest.raises(TrajectoryError, match="no trajectory could be read"):
        read(path, format="tau2")


@pytest.mark.parametrize(
    ("part", "shown"), [("image_url", "[image]"), ("audio", "[audio]"), ("map", "[map]")]
)
def test_what_is_no_text_gets_a_placeholder_outside_the_agents_text(
    tmp_path: Path, part: str, shown: str
) -> None:
    path = tmp_path / "log.jsonl"
    seen = [{"type": "text", "text": "see "}, {"type": part, "data": "QUJD" * 9}]
    answer = [{"type": "text", "text": "a cat"}, {"type": part, "data": "REVG" * 9}]
    path.write_text(
        lines({"messages": [{"role": "user", "content": seen}, {"role": "assistant", "content": answer}]})
    )
    report = Report()
    [found] = read_trajectories(path, report=report)
    assert [message["content"] for message in found] == [f"see {shown}", "a cat"]
    assert [(path, texts.characters) for (_, path), texts in report.left_out.items()] == [
        ("messages[].content[].data", 72)
    ]


def test_unknown_roles_and_nameless_calls_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    user = {"role": "user", "content": "a"}
    nameless = {"role": "assistant", "content": "", "tool_calls": [{"id": "1"}]}
    path.write_text(
        lines(talk(), {"messages": [user, {"role": "judge", "content": "a"}]}, {"messages": [user, nameless]})
    )
    _, problems = read(path)
    assert "message 2: unknown role 'judge'" in str(problems.records[0])
    assert "message 2: a tool call without a function name" in str(problems.records[1])


def test_parquet_of_other_people(tmp_path: Path) -> None:
    table = pa.Table.from_pylist([talk("a", extra=1), talk("b", extra=2)])
    pq.write_table(table, tmp_path / "hub.parquet")
    found, problems = read(tmp_path)
    assert [item.messages[0] for item in found] == [{"role": "user", "content": said} for said in "ab"]
    assert not problems.count


def test_corrupt_parquet_is_noted_and_reading_goes_on(tmp_path: Path) -> None:
    broken = tmp_path / "a.parquet"
    write_trajectories(read_one(talk("x" * 5000)), broken)
    content = bytearray(broken.read_bytes())
    content[10:60] = bytes(50)
    broken.write_bytes(content)
    (tmp_path / "b.jsonl").write_text(lines(talk()))
    found, problems = read(tmp_path)
    assert [item.source for item in found] == [f"{tmp_path.name}/b.jsonl"]
    assert "not a readable Parquet file" in str(problems.records[0])


def test_parquet_has_the_schema_that_is_promised(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    write_trajectories(read_one(talk()), path)
    assert pq.read_schema(path).equals(PARQUET_SCHEMA)


def read_one(record: dict[str, Any]) -> list[Trajectory]:
    return [Trajectory("a", "t", record["messages"])]


@pytest.mark.parametrize("name", ["t.parquet", "t.jsonl.gz"])
def test_an_error_on_the_way_leaves_what_was_there(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_text("precious")

    def failing() -> Any:
        yield from read_one(talk())
        raise TrajectoryError("stop")

    with pytest.raises(TrajectoryError, match="stop"):
        write_trajectories(failing(), path)
    assert path.read_text() == "precious"
    assert [item.name for item in tmp_path.iterdir()] == [name]


def test_an_unknown_suffix_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"must end in .parquet, .jsonl or .jsonl.gz"):
        write_trajectories([], tmp_path / "t.csv")


def test_the_same_trajectories_give_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a.jsonl.gz", "b.jsonl.gz", "a.parquet", "b.parquet"):
        write_trajectories(read_one(talk()), tmp_path / name)
    for kind in ("jsonl.gz", "parquet"):
        assert (tmp_path / f"a.{kind}").read_bytes() == (tmp_path / f"b.{kind}").read_bytes()


@pytest.mark.parametrize("layout", ["lines", "array", "object", "tau2"])
def test_memory_does_not_grow_with_the_file(
    tmp_path: Path, layout: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(json_stream, "WINDOW", 1 << 14)
    record = json.dumps(talk("x" * 2000, task_id="a", reward_info={}))
    many = 4000  # 8 MB
    path = tmp_path / "log"
    with path.open("w") as file:
        file.write(
            {"lines": "", "array": "[", "object": "{", "tau2": '{"info": {}, "simulations": ['}[layout]
        )
        for number in range(many):
            comma = "," if number and layout != "lines" else ""
            name = f'"{number}":' if layout == "object" else ""
            file.write(f"{comma}\n{name}{record}")
        file.write({"lines": "\n", "array": "]", "object": "}", "tau2": "]}"}[layout])
    tracemalloc.start()
    count = sum(1 for _ in read_trajectories(path, strict=True))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert count == many
    # The head that recognises the file takes a few times 1 MB; all records at once would take 10 MB and more.
    assert peak < 6 << 20


def test_progress_ends_at_all_bytes(tmp_path: Path) -> None:
    for number in range(3):
        (tmp_path / f"{number}.jsonl").write_text(lines(*[talk()] * 100))
    seen: list[tuple[int, int | None]] = []
    list(read_trajectories(tmp_path, progress=lambda done, total: seen.append((done, total))))
    size = sum(file.stat().st_size for file in tmp_path.iterdir())
    assert seen[-1] == (size, size)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
