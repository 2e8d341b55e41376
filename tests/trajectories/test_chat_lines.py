"""Plain chat lines give the same by the core's columns as record by record, in any company."""

import hashlib
import json
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lar import _core
from lar.errors import OptionError, TrajectoryError
from lar.trajectories import Report, Trajectory, read_trajectories, spool, write_trajectories
from lar.trajectories.blocks import Block, Lines
from lar.trajectories.chat_lines import ChatLines
from lar.trajectories.dialects.messages import ROLES
from lar.trajectories.draft import NO_KEYS
from lar.trajectories.importing import import_logs
from lar.trajectories.inputs.files import Source
from lar.trajectories.openings import opening
from lar.trajectories.problems import place_of, places_of
from lar.trajectories.record import Found
from lar.trajectories.spool import Options, read_block, read_spooled

PIECES = [
    *(
        "a",
        "é",
        "🙂",
        "\0",
        "\x1c",
        "\x85",
        "\u3000",
        "\ud83d",
        "\udc00",
        " ",
        "\n",
        "\t",
        '"',
        "\\",
        "{",
        "1",
    ),
    *("<think>", "</think>", "<system-reminder>", "</system-reminder>", "system", "messages"),
]
TEXT = st.lists(st.sampled_from(PIECES), max_size=4).map("".join)
SAFE = st.lists(st.sampled_from([piece for piece in PIECES if piece.isprintable()]), max_size=3).map("".join)
DEEP = json.loads("[" * 150 + "]" * 150)
VISIBLE = SAFE.map(lambda text: f"{text}x")
ODD = st.sampled_from(
    [
        *(
            None,
            True,
            False,
            0,
            -1,
            7,
            2**63,
            -(2**63),
            2**64,
            10**30,
            1.0,
            1e300,
            float("nan"),
            float("inf"),
        ),
        *("", [], {}, DEEP, [""], {"a": "b"}, "[]", '{"a": 1}', ["a", 1]),
    ]
)


def mostly(usual, odd=ODD | TEXT):
    """Values of `usual`, and now and then an odd one."""
    return st.integers(0, 39).flatmap(lambda number: usual if number else odd)


CALL = st.fixed_dictionaries(
    {
        "id": mostly(VISIBLE),
        "function": mostly(
            st.fixed_dictionaries(
                {"name": mostly(VISIBLE), "arguments": mostly(TEXT.map(lambda text: f"{{{text}}}"))},
            )
        ),
    },
    optional={"type": mostly(st.just("function"))},
)
ANSWER = st.fixed_dictionaries({"role": st.just("tool"), "content": TEXT}, optional={"name": SAFE})
MESSAGE = ANSWER | st.fixed_dictionaries(
    {
        "role": mostly(st.sampled_from(ROLES), st.sampled_from(["human", "", 1, "User"])),
        "content": mostly(TEXT),
    },
    optional={
        "name": mostly(st.none(), SAFE),
        "tool_call_id": mostly(st.none() | SAFE),
        "tool_calls": mostly(st.none() | st.lists(CALL, max_size=2)),
    },
)
REPLY = st.just([{"role": "assistant", "content": "x"}])
MESSAGES = st.builds(list.__add__, st.lists(MESSAGE, max_size=3), mostly(REPLY, st.just([])))
TOOL = mostly(
    st.fixed_dictionaries(
        {"function": mostly(st.fixed_dictionaries({"name": SAFE}, optional={"parameters": ODD | TEXT}))},
        optional={"type": st.just("function"), "x": ODD},
    )
)
NAME = mostly(SAFE | st.integers(-5, 5))
RECORD = st.fixed_dictionaries(
    {"messages": mostly(MESSAGES)},
    optional={
        "id": NAME,
        "task": NAME,
        "split_key": mostly(st.none(), NAME),
        "model": mostly(SAFE),
        "source": mostly(SAFE),
        "success": mostly(st.none() | st.booleans()),
        "tools": mostly(st.none() | st.lists(TOOL, max_size=2)),
    },
)


def written(record, ascii_only, twice):
    text = json.dumps(record, ensure_ascii=ascii_only)
    if twice is not None:
        text = text.replace("{", f'{{"{twice}": "z", ', 1)
    return text.encode("utf-8", "surrogatepass")


LINE = st.builds(
    written, RECORD, st.booleans(), mostly(st.none(), st.sampled_from(["id", "messages", "tools", "success"]))
)
OTHER = st.sampled_from(
    [
        *(b"", b"  ", b"\x0b", b"{", b"[1]", b"1", b"\xff", b'{"messages": []}', b"\xef\xbb\xbf{}"),
        b'{"messages": [{"role": "user", "content": "\xc3"}, {"role": "assistant", "content": "a"}]}',
        b'{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "a\x01"}]}',
        b'{"id": -0, "messages": [{"role": "assistant", "content": "a"}]}',
        b'{"id": 1e2, "messages": [{"role": "assistant", "content": "a"}]} ',
        b'{"tools": [{"function": {"a": 1e999}}], "messages": [{"role": "assistant", "content": "a"}]}',
        b'{"messages": [{"role": "assistant", "content": "a", "content": "b"}]}',
        b'{"messages": [{"role": "assistant", "content": "a"}]}\x0b',
        b'{"messages": [{"role": "assistant", "content": "a"}]} {}',
        b'{"note": "n", "messages": [{"role": "assistant", "content": "a"}]}',
        b'\t{"messages": [{"role": "assistant", "content": "a"}]}\r',
        json.dumps({"request": {"messages": [{"role": "user", "content": "q"}]}, "response": "r"}).encode(),
        json.dumps([{"messages": [{"role": "assistant", "content": str(n)}]} for n in range(2)]).encode(),
        json.dumps(Trajectory("i", "t", [{"role": "assistant", "content": "a"}]).to_dict()).encode(),
    ]
)


@st.composite
def damaged(draw):
    """A line with a byte that was changed, dropped or put in."""
    line = draw(LINE)
    at = draw(st.integers(0, len(line)))
    return line[:at] + draw(st.binary(max_size=1)) + line[at + draw(st.integers(0, 1)) :]


BLOCKS = st.lists(st.one_of(LINE, LINE, LINE, OTHER, damaged()), min_size=1, max_size=5).map(
    lambda lines: b"\n".join(line.replace(b"\n", b" ") for line in lines)
)


def read(data, folder, *, short):
    """What a block gives, by the short way or without it."""
    source = Source(Path("some/log.jsonl"), "log.jsonl", len(data))
    block = Block((Lines(source, 0, len(data), 7, 5, len(data), data, by_place=False),))
    options = Options("auto", NO_KEYS, False, None, "parquet", folder)
    with pytest.MonkeyPatch.context() as patch:
        if not short:
            patch.setattr(spool, "_plain_lines", lambda *_: None)
        try:
            found = read_block(options, block)
        except TrajectoryError as error:
            return str(error)
    table = None
    if found.path is not None:
        table = pa.Table.from_batches(read_spooled(found)).combine_chunks()
        table.validate(full=True)
        table = table.to_pylist()
    return table, found.openings, found.own, found.report, list(found.report.formats)


@given(BLOCKS)
@example(b"")
def test_a_block_gives_the_same_with_and_without_the_columns(tmp_path_factory, data):
    folder = tmp_path_factory.getbasetemp()
    assert read(data, folder, short=True) == read(data, folder, short=False)


@pytest.mark.parametrize("success", [1, 0, -1, 0.5, 1.0, "True", "false", "1", "many", "", [], {}])
def test_an_outcome_that_is_no_truth_value_is_left_to_the_long_way(tmp_path, success):
    data = json.dumps({"messages": [{"role": "assistant", "content": "a"}], "success": success}).encode()
    assert len(ChatLines(data, "log", 1, 1)) == 0
    assert read(data, tmp_path, short=True) == read(data, tmp_path, short=False)


SPACES = [chr(code) for code in range(0x110000) if chr(code).isspace()]


@pytest.mark.parametrize("role", ROLES)
def test_openings_drop_the_white_space_that_python_drops(role):
    spaces = "".join([*SPACES, "\u200b", "\x1b"])
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": f"a{spaces}b{spaces}c"}}
    thought = f"{SPACES[0]}<think>{spaces}</think>{spaces}x{spaces}"
    messages = [
        {"role": role, "content": f"{spaces[::-1]}a{spaces}b{spaces}"},
        {
            "role": "assistant",
            "content": thought,
            "tool_calls": [call],
        },
    ]
    lines = ChatLines(json.dumps({"task": "t", "messages": messages}).encode(), "log", 1, 1)
    assert len(lines) == 1
    assert lines.openings.tobytes() == opening(Found(Trajectory("i", "t", messages), names_task=True))


def test_plain_lines_are_found():
    """Real logs take the short way: with tools and calls, without a task, with escapes, with blank lines."""
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    messages = [
        {"role": "system", "content": "é\n"},
        {"role": "user", "content": "do"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "content": "done", "tool_call_id": "c", "name": "f"},
    ]
    records = [{"messages": messages}, {"id": 1, "messages": messages, "tools": [tool], "success": None}]
    data = b"\n\n".join(json.dumps(record).encode() for record in [*records, {"messages": []}, *records])
    lines = ChatLines(data, "log", 1, 1)
    assert lines.numbers.tolist() == [1, 2, 4, 5]
    assert lines.lines.tolist() == [1, 3, 7, 9]
    assert list(lines.other_lines()) == [(b'{"messages": []}\n', 5, 3)]
    batch = lines.batch()
    assert batch.column("id").to_pylist() == ["log:1", "1", "log:4", "1"]
    assert batch.column("tools").to_pylist() == [None, json.dumps([tool]), None, json.dumps([tool])]
    assert len(set(batch.column("task").to_pylist())) == 1


def test_many_places_are_as_each_is():
    assert places_of(Path("a/b"), [1, 2], [3, 4]) == [
        place_of(Path("a/b"), 1, 3),
        place_of(Path("a/b"), 2, 4),
    ]


def read_and_write(paths, output, report):
    write_trajectories(read_trajectories(paths, report=report), output)


@given(st.lists(BLOCKS, min_size=1, max_size=2))
def test_an_import_is_that_of_reading_and_writing(tmp_path_factory, contents):
    folder = tmp_path_factory.mktemp("logs")
    paths = [folder / f"{number}.jsonl" for number in range(len(contents))]
    for path, data in zip(paths, contents, strict=True):
        path.write_bytes(data + b"\n")
    results = []
    for way in (import_logs, read_and_write):
        report, output = Report(), folder / "out.parquet"
        try:
            way(paths, output, report=report)
        except TrajectoryError as error:
            results.append(str(error))
        else:
            results.append((hashlib.sha256(output.read_bytes()).hexdigest(), report, list(report.formats)))
            output.unlink()
    assert results[0] == results[1]


@pytest.mark.parametrize("place", [(-1, 1), (1, -1), (2**64, 1)])
def test_a_place_out_of_range_is_refused(place):
    with pytest.raises(OptionError, match="is negative or too large"):
        _core.read_chat_lines(b"", "file", *place)
