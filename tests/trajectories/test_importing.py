"""An import on several cores: the same bytes, counts and problems for any number of processes."""

import gzip
import json
import os
import pickle
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lar._core import count_lines
from lar.cli.inventory import leftovers
from lar.errors import TrajectoryError
from lar.trajectories import Report, Trajectory, blocks, importing, read_trajectories, write_trajectories
from lar.trajectories.blocks import Block, Whole, in_blocks, pieces_of
from lar.trajectories.dialects.messages import normalize_message, plain_messages
from lar.trajectories.draft import NO_KEYS
from lar.trajectories.importing import import_logs
from lar.trajectories.inputs.files import Source
from lar.trajectories.report import is_own
from lar.trajectories.spool import Options, read_block
from lar.utils import pool


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


def talk(number, calls=1):
    messages = [{"role": "system", "content": "Be brief."}]
    for call in range(calls):
        messages.append({"role": "user", "content": f"question {number} {call} é"})
        messages.append(
            {"role": "assistant", "content": f"answer {call}", "reasoning_content": "well" * call}
        )
    return messages


def rich(number):
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1.50}'}}
    return [
        {"role": "user", "content": f"do {number}"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "content": "x" * 300, "tool_call_id": "c1"},
        {"role": "assistant", "content": "done"},
    ]


@pytest.fixture(params=[0, 5000], ids=["apart", "together"])
def small_blocks(monkeypatch, request):
    """Blocks and groups so small that a few records fill several; small pieces are apart, or together."""
    monkeypatch.setattr(blocks, "BLOCK", 2000)
    monkeypatch.setattr(blocks, "TOGETHER", request.param)
    monkeypatch.setattr(blocks, "SMALL_PACKED", 500)
    monkeypatch.setattr("lar.trajectories.layouts.parquet.RANGE_BYTES", 1000)
    monkeypatch.setattr("lar.trajectories.write.GROUP_TRAJECTORIES", 7)
    monkeypatch.setattr(importing, "GROUP_TRAJECTORIES", 7)
    monkeypatch.setattr(importing, "_START", 0)


@pytest.fixture
def logs(tmp_path):
    """Logs of every layout, with broken records, repeated histories and what is left out."""
    folder = tmp_path / "logs"
    folder.mkdir()
    lines = []
    for number in range(40):
        lines.append(json.dumps({"id": f"r{number}", "messages": rich(number), "note": "not read " * number}))
        if number % 10 == 3:
            lines += ["", "  ", "{broken", json.dumps({"messages": [{"role": "user", "content": "alone"}]})]
    text = "\n".join(lines).encode()
    (folder / "a.jsonl").write_bytes(text)
    (folder / "b.jsonl.gz").write_bytes(gzip.compress(text.replace(b"do ", b"make ")))
    proxy = [
        {"request": {"messages": talk(n, c)[:-1]}, "response": talk(n, c)[-1]}
        for c in (1, 2, 3)
        for n in (1, 2)
    ]
    (folder / "c.json").write_text(json.dumps(proxy[:3]))
    (folder / "d.jsonl").write_text("".join(json.dumps(record) + "\n" for record in proxy[3:]))
    own = [
        Trajectory(f"p{n}", "t", [{"role": "user", "content": f"{n}"}, {"role": "assistant", "content": "a"}])
        for n in range(30)
    ]
    write_trajectories(own, folder / "e.parquet")
    with zipfile.ZipFile(folder / "f.zip", "w") as archive:
        archive.writestr("inner/x.jsonl", text.replace(b"do ", b"zip "))
    (folder / "g.jsonl.gz").write_bytes(gzip.compress(text.replace(b"do ", b"cut "))[:-40])
    (folder / "h.txt").write_text("no log\n")
    sessions = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]
    (folder / "i.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in sessions))
    return folder


def serial(logs, output):
    report = Report()
    write_trajectories(read_trajectories(logs, report=report), output)
    return output.read_bytes(), report


@given(st.lists(st.integers(0, 2 * blocks.TOGETHER)))
def test_small_pieces_in_a_row_make_a_block(sizes):
    sources = [Source(Path(f"{n}.jsonl"), f"{n}.jsonl", size) for n, size in enumerate(sizes)]
    parts = [Whole(source, 0) for source in sources]
    found = list(in_blocks(parts))
    assert [part for block in found for part in block.parts] == parts
    held = [sum(piece.source.size for piece in block.parts) for block in found]
    assert all(
        size <= blocks.TOGETHER or len(block.parts) == 1 for size, block in zip(held, found, strict=True)
    )
    assert all(a + b.parts[0].source.size > blocks.TOGETHER for a, b in zip(held, found[1:], strict=False))


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("suffix", ["parquet", "jsonl", "jsonl.gz"])
def test_an_import_gives_what_reading_and_writing_gives(logs, tmp_path, suffix):
    expected, expected_report = serial(logs, tmp_path / f"serial.{suffix}")
    output, report = tmp_path / f"import.{suffix}", Report()
    tally = import_logs([logs], output, workers=1, report=report)
    assert output.read_bytes() == expected
    assert report == expected_report
    assert report.repeated == 4
    found = list(read_trajectories(output))
    assert tally.trajectories == tally.found == len(found)
    assert tally.messages == sum(map(len, found))
    assert tally.agent_turns == sum(sum(map(is_own, one)) for one in found)
    assert set(tally.tasks) == {trajectory.task for trajectory in found}
    assert names_in(tmp_path) == sorted(["logs", f"serial.{suffix}", f"import.{suffix}"])


BROKEN = {
    "cut.zip": lambda logs: (logs / "f.zip").read_bytes()[:-30],
    "empty.zip": lambda _: b"PK\5\6" + bytes(18),
    "cut.parquet": lambda logs: (logs / "e.parquet").read_bytes()[:-20],
    "cut.jsonl.gz": lambda logs: (logs / "b.jsonl.gz").read_bytes()[:5],
}


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("name", BROKEN)
def test_what_is_broken_is_named_as_by_reading(logs, tmp_path, name):
    folder = tmp_path / "broken"
    folder.mkdir()
    (folder / name).write_bytes(BROKEN[name](logs))
    (folder / "log.jsonl").write_text(json.dumps({"messages": talk(1)}) + "\n")
    expected, expected_report = serial(folder, tmp_path / "serial.jsonl")
    report = Report()
    import_logs([folder], tmp_path / "import.jsonl", workers=1, report=report)
    assert (tmp_path / "import.jsonl").read_bytes() == expected
    assert report == expected_report
    assert report.problems.count


def test_what_is_put_back_counts(tmp_path, monkeypatch):
    """A system's text that only the first request has makes the conversation longer, and its group."""
    for module in ("write", "importing"):
        monkeypatch.setattr(f"lar.trajectories.{module}.GROUP_CHARACTERS", 300)
    records = []
    for number in range(9):
        first, history = [{"role": "system", "content": "Be brief. " * 20}], talk(number, 2)[1:]
        records.append({"request": {"messages": first + history[:1]}, "response": history[1]})
        records.append({"request": {"messages": history[:-1]}, "response": history[-1]})
    log = tmp_path / "log.jsonl"
    log.write_text("".join(json.dumps(record) + "\n" for record in records))
    expected, _ = serial(log, tmp_path / "serial.parquet")
    tally = import_logs([log], tmp_path / "import.parquet", workers=1)
    assert (tmp_path / "import.parquet").read_bytes() == expected
    assert (tally.trajectories, tally.messages) == (9, 45)


@pytest.mark.usefixtures("small_blocks")
def test_the_number_of_processes_does_not_matter(logs, tmp_path):
    many = b"".join(json.dumps({"messages": rich(n), "note": "y" * 99}).encode() + b"\n" for n in range(300))
    (logs / "many.jsonl").write_bytes(many)
    outputs = []
    for workers in (1, 3):
        report, output = Report(), tmp_path / f"{workers}.parquet"
        import_logs([logs], output, workers=workers, report=report)
        outputs.append((output.read_bytes(), report))
    assert outputs[0] == outputs[1]


@pytest.mark.usefixtures("small_blocks")
def test_strict_stops_at_the_first_problem(logs, tmp_path):
    with pytest.raises(TrajectoryError, match=r"a\.jsonl, record 5, line 7: not JSON"):
        import_logs([logs], tmp_path / "t.parquet", workers=1, strict=True)
    assert names_in(tmp_path) == ["logs"]


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("kind", ["parquet", "jsonl"])  # lines are read by columns, or as records
@pytest.mark.parametrize("strict", [False, True])
def test_a_file_that_is_cut_while_it_is_read_is_a_problem(tmp_path, kind, strict):
    """As by a rotation of logs: the process that reads a block finds fewer bytes than there were."""
    path = tmp_path / "log.jsonl"
    path.write_text("".join(f"{json.dumps({'messages': rich(number)})}\n" for number in range(40)))
    source = Source(path, path.name, path.stat().st_size)
    pieces = pickle.loads(pickle.dumps(list(pieces_of(source, None, tmp_path))))
    assert len(pieces) > 4
    left = pieces[2].start + 100
    os.truncate(path, left)
    report, count = Report(), 0
    options = Options("auto", NO_KEYS, strict, None, kind, tmp_path)
    if strict:
        with pytest.raises(
            TrajectoryError, match=r"record \d+, line \d+: the file was cut while it was read"
        ):
            read_block(options, Block(tuple(pieces)))
        return
    for piece in pieces:
        spooled = read_block(options, Block((piece,)))
        report.merge(spooled.report)
        count += spooled.count
    first, *others = report.problems.records
    assert count == pieces[2].first_number - 1
    assert (first.record, first.line) == (count + 1, count + 1)
    assert ": 100 of " in first.reason
    assert [one.record for one in others] == [piece.first_number for piece in pieces[3:]]
    assert all(": 0 of " in one.reason for one in others)


@pytest.mark.usefixtures("small_blocks")
def test_standard_input_and_pipes(logs, tmp_path, monkeypatch):
    for name in ("a.jsonl", "b.jsonl.gz", "c.json", "e.parquet", "f.zip"):
        expected, _ = serial(logs / name, tmp_path / "serial.jsonl")
        with (logs / name).open() as file:
            monkeypatch.setattr(sys, "stdin", file)
            import_logs(["-"], tmp_path / "t.jsonl", workers=1)
        shown = (tmp_path / "t.jsonl").read_bytes().replace(b"stdin", name.encode())
        assert shown == expected


LINES = st.lists(st.sampled_from([b"{}", b"", b" ", b"\t\r", b"{} ", b"\x0b", b"[1]"]), max_size=12)


@given(LINES)
def test_lines_that_are_not_blank_are_counted(lines):
    data = b"".join(line + b"\n" for line in lines)
    assert count_lines(data) == (len(lines), sum(bool(line.strip()) for line in lines))


PLAIN = st.fixed_dictionaries(
    {"role": st.sampled_from(["system", "user", "assistant", "tool", "Human"])},
    optional={
        "content": st.none() | st.text(max_size=3) | st.lists(st.text(max_size=2), max_size=2),
        "name": st.none() | st.text(max_size=2) | st.integers(),
        "tool_call_id": st.none() | st.text(max_size=2),
        "weight": st.integers(0, 1),
        "tool_calls": st.none()
        | st.lists(
            st.fixed_dictionaries(
                {
                    "function": st.fixed_dictionaries(
                        {"name": st.text(max_size=2), "arguments": st.text(max_size=2)}
                    )
                },
                optional={
                    "id": st.none() | st.text(max_size=2),
                    "type": st.just("function"),
                    "note": st.text(),
                },
            ),
            max_size=2,
        ),
    },
)


@given(st.lists(PLAIN, min_size=1, max_size=3))
def test_the_short_way_gives_what_the_long_way_gives(values):
    found = plain_messages(values)
    if found is not None:
        assert found == [message for value in values for message in normalize_message(value)]


def command(logs, output, *more):
    arguments = [sys.executable, "-m", "lar", "import", str(logs), "-o", str(output), *more]
    # What is started in the background ignores Ctrl-C, and what it starts inherits that.
    heard = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return subprocess.Popen(arguments, stderr=subprocess.PIPE, text=True)
    finally:
        signal.signal(signal.SIGINT, heard)


def children(process):
    """The processes below `process`, from /proc."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            parent = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
        except (OSError, ValueError, IndexError):
            continue
        if parent == process:
            found += [int(entry.name), *children(int(entry.name))]
    return found


def wait_for_workers(process):
    for _ in range(400):
        time.sleep(0.05)
        found = [
            child
            for child in children(process.pid)
            if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes()
        ]
        if len(found) >= 2:
            return found
    raise AssertionError("no workers were started")


@pytest.fixture
def large(tmp_path):
    folder = tmp_path / "large"
    folder.mkdir()
    line = json.dumps({"messages": rich(1) * 40, "note": "y" * 99}).encode() + b"\n"
    (folder / "log.jsonl").write_bytes(line * (200_000_000 // len(line)))
    return folder / "log.jsonl"


@pytest.mark.usefixtures("small_blocks")
def test_all_that_a_killed_import_leaves_is_a_leftover(logs, tmp_path):
    """`lar status` names the hidden folder of conversations too."""
    seen = []

    def look(*_):
        hidden = [path for path in tmp_path.iterdir() if path.name.startswith(".")]
        assert leftovers(tmp_path) == sorted(hidden)
        seen.extend(path for path in hidden if path.is_dir() and any(path.iterdir()))

    import_logs([logs], tmp_path / "t.parquet", workers=1, progress=look)
    assert seen
    assert leftovers(tmp_path) == []


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads /proc")
@pytest.mark.parametrize("end", ["interrupt", "terminate", "kill worker", "kill parent"])
def test_no_half_file_and_no_process_is_left(large, tmp_path, end):
    process = command(large, tmp_path / "t.parquet", "--workers", "2")
    workers = wait_for_workers(process)
    time.sleep(1)
    target, number = {
        "interrupt": (process.pid, signal.SIGINT),
        "terminate": (process.pid, signal.SIGTERM),
        "kill worker": (workers[0], signal.SIGKILL),
        "kill parent": (process.pid, signal.SIGKILL),
    }[end]
    os.kill(target, number)
    _, error = process.communicate(timeout=60)
    if end in ("interrupt", "terminate"):
        assert process.returncode == 128 + number
        assert error.endswith("lar: stopped; nothing was written\n")
    elif end == "kill worker":
        assert (process.returncode, "a worker process has died" in error) == (2, True)
    for _ in range(200):
        if not any(Path(f"/proc/{worker}").exists() for worker in workers):
            break
        time.sleep(0.05)
    else:
        raise AssertionError("a worker is left")
    assert not (tmp_path / "t.parquet").exists()
    if end != "kill parent":
        assert names_in(tmp_path) == ["large"]
    assert names_in(tmp_path) == sorted(["large", *(path.name for path in leftovers(tmp_path))])


def test_the_order_of_results_is_that_of_the_tasks():
    assert list(pool.in_order(abs, range(-30, 0), 2)) == list(range(30, 0, -1))
    assert list(pool.in_order(abs, [], 2)) == []


def test_no_process_is_started_for_what_is_soon_done():
    here = []
    assert list(pool.in_order(here.append, range(30), 2, goes_on_alone=lambda: True)) == [None] * 30
    assert here == list(range(30))


@pytest.mark.parametrize(
    ("done", "cpu", "soon"), [(50, 0.9, True), (50, 1.1, False), (0, 0, False), (200, 0, False)]
)
def test_how_long_the_rest_takes_is_guessed_from_the_speed_so_far(monkeypatch, done, cpu, soon):
    blocks_read = importing._Blocks([Source(Path("a"), "a", 100)], None, Path())
    blocks_read.progress(done)
    monkeypatch.setattr(importing, "process_time", lambda: blocks_read._began + cpu)
    assert blocks_read.are_soon_done() is soon
