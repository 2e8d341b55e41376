"""Where logs may be: folders, patterns, pipes, archives, compressed files, buckets; and what breaks off."""

import bz2
import gzip
import io
import json
import lzma
import os
import struct
import sys
import tarfile
import tempfile
import threading
import zipfile
import zlib
from functools import partial
from pathlib import Path

import fsspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lar.errors import TrajectoryError
from lar.trajectories import Report, Trajectory, read_trajectories, write_trajectories
from lar.trajectories.importing import import_logs
from lar.trajectories.inputs.files import find_sources, zip_members


def line(number):
    said = f"question {number} {number * 7919 % 10007:x}"
    messages = [{"role": "user", "content": said}, {"role": "assistant", "content": f"answer {number}"}]
    return json.dumps({"id": f"run-{number}", "messages": messages}).encode() + b"\n"


def lines(*numbers):
    return b"".join(map(line, numbers))


def read(paths):
    report = Report()
    found = list(read_trajectories(paths, report=report))
    return [trajectory.id for trajectory in found], list(map(str, report.problems.records)), found


def names(*numbers):
    return [f"run-{number}" for number in numbers]


def pack_zstandard(data):
    return pytest.importorskip("zstandard").compress(data)


ONE = Trajectory("p", "t", [{"role": "assistant", "content": "a"}])
PACKERS = {
    "gz": gzip.compress,
    "bz2": bz2.compress,
    "xz": partial(lzma.compress, preset=0),
    "zst": pack_zstandard,
}


@pytest.mark.parametrize("suffix", PACKERS)
class TestCompressed:
    def test_one_frame_or_several(self, tmp_path, suffix):
        path = tmp_path / f"log.jsonl.{suffix}"
        path.write_bytes(PACKERS[suffix](lines(*range(300))))
        assert read(path)[:2] == (names(*range(300)), [])
        path.write_bytes(PACKERS[suffix](lines(1, 2)) + PACKERS[suffix](lines(3)))
        assert read(path)[:2] == (names(1, 2, 3), [])

    def test_the_content_counts_and_not_the_name(self, tmp_path, suffix):
        path = tmp_path / "log"
        path.write_bytes(PACKERS[suffix](lines(1, 2)))
        assert read(path)[:2] == (names(1, 2), [])

    def test_what_stands_before_the_break_is_read(self, tmp_path, suffix):
        many = range(20_000)
        path = tmp_path / f"log.jsonl.{suffix}"
        packed = PACKERS[suffix](lines(*many))
        path.write_bytes(packed[: len(packed) // 2])
        found, problems, _ = read(path)
        assert found == names(*range(len(found)))
        assert len(found) > 3000
        (cut,) = [problem for problem in problems if "compressed data" in problem]
        assert str(path) in cut
        assert len(problems) <= 2  # the cut line, and the cut file

    def test_a_document_that_breaks_off(self, tmp_path, suffix):
        path = tmp_path / f"log.json.{suffix}"
        packed = PACKERS[suffix](b"[" + b",".join(map(line, range(20_000))) + b"]")
        path.write_bytes(packed[: len(packed) // 2])
        found, (problem,), _ = read(path)
        assert found == names(*range(len(found)))
        assert len(found) > 3000
        assert "broken compressed data" in problem

    def test_other_bytes_behind_the_end_are_named(self, tmp_path, suffix):
        path = tmp_path / f"log.jsonl.{suffix}"
        path.write_bytes(PACKERS[suffix](lines(1, 2)) + b"no frame at all")
        found, (problem,), _ = read(path)
        assert found == names(1, 2)
        assert "broken compressed data" in problem

    def test_parquet_within(self, tmp_path, suffix):
        write_trajectories(
            [Trajectory("p", "t", [{"role": "assistant", "content": "a"}])], tmp_path / "p.parquet"
        )
        packed = tmp_path / f"p.parquet.{suffix}"
        packed.write_bytes(PACKERS[suffix]((tmp_path / "p.parquet").read_bytes()))
        assert read(packed)[:2] == (["p"], [])


def test_zeros_pad_a_gzip_file(tmp_path):
    path = tmp_path / "log.jsonl.gz"
    path.write_bytes(gzip.compress(lines(1)) + bytes(70_000) + gzip.compress(lines(2)) + bytes(512))
    assert read(path)[:2] == (names(1, 2), [])


@pytest.fixture
def folder(tmp_path):
    """Logs in folders, of several layouts."""
    (tmp_path / "logs" / "a" / "deep").mkdir(parents=True)
    (tmp_path / "logs" / ".git").mkdir()
    (tmp_path / "logs" / ".git" / "x.jsonl").write_bytes(lines(99))
    (tmp_path / "logs" / "a" / "1.jsonl").write_bytes(lines(1))
    (tmp_path / "logs" / "a" / "deep" / "2.jsonl.gz").write_bytes(gzip.compress(lines(2)))
    (tmp_path / "logs" / "3.json").write_bytes(b"[" + line(3) + b"," + line(4) + b"]")
    (tmp_path / "logs" / "a[0].jsonl").write_bytes(lines(5))
    return tmp_path / "logs"


PATTERNS = [
    ("*.json", [3, 4]),
    ("**/*.jsonl*", [1, 2, 5]),
    ("**", [3, 4, 1, 2, 5]),
    ("*", [3, 4, 1, 2, 5]),
    ("a/?.jsonl", [1]),
    ("[3a]*", [3, 4, 1, 2, 5]),
    ("a[0].jsonl", [5]),  # a file of this name comes before what the pattern would fit
]


@pytest.mark.parametrize(("pattern", "expected"), PATTERNS)
def test_patterns_that_the_shell_left(folder, pattern, expected):
    assert sorted(read(folder / pattern)[0]) == sorted(names(*expected))
    url = f"file://{folder}/{pattern}"
    assert sorted(read(url)[0]) == sorted(names(*expected))


def test_each_file_once_and_in_order(folder):
    sources = find_sources([folder / "**"])
    assert [source.full_name for source in sources] == sorted({source.full_name for source in sources})
    assert read(folder)[0] == names(3, 4, 1, 2, 5)


def test_a_link_to_nothing_is_an_error(folder, tmp_path):
    (folder / "a" / "gone.jsonl").symlink_to(tmp_path / "nothing.jsonl")
    with pytest.raises(FileNotFoundError, match=r"gone\.jsonl"):
        list(read_trajectories(folder))


def test_links_to_folders_are_followed_and_each_folder_is_read_once(folder, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "7.jsonl").write_bytes(lines(7))
    (tmp_path / "elsewhere" / "back").symlink_to(folder)
    for name in ("z", "y"):
        (folder / name).symlink_to(tmp_path / "elsewhere")
    (folder / "a" / "circle").symlink_to(folder / "a")
    assert read(folder)[0] == names(3, 4, 1, 2, 5, 7)
    assert find_sources([folder])[-1].label == "logs/y/7.jsonl"


def test_a_file_that_several_arguments_give_is_read_once_at_its_first_place(folder, tmp_path, monkeypatch):
    (tmp_path / "other.jsonl").symlink_to(folder / "a" / "1.jsonl")
    monkeypatch.chdir(tmp_path)
    paths = [folder / "a" / "1.jsonl", "logs", "logs/3.json", folder / "*.json", tmp_path / "other.jsonl"]
    assert read(paths)[0] == names(1, 3, 4, 2, 5)
    urls = [f"file://{folder}/a/1.jsonl", f"file://{folder}", f"file://{folder}/*.json"]
    assert read(urls)[0] == names(1, 3, 4, 2, 5)


@pytest.mark.parametrize("pattern", ["*.txt", "**/nothing/*"])
def test_a_pattern_without_files(folder, pattern):
    with pytest.raises(FileNotFoundError, match="no file fits this pattern"):
        read(folder / pattern)
    with pytest.raises(FileNotFoundError, match="no file fits this pattern"):
        read(f"file://{folder}/{pattern}")


class Stdin:
    def __init__(self, data):
        self.buffer = io.BufferedReader(io.BytesIO(data))


@pytest.mark.parametrize("name", ["-", "/dev/stdin", Path("-")])
@pytest.mark.parametrize("suffix", [None, *PACKERS])
def test_standard_input(monkeypatch, name, suffix):
    data = lines(1, 2)
    monkeypatch.setattr(sys, "stdin", Stdin(PACKERS[suffix](data) if suffix else data))
    found, problems, trajectories = read(name)
    assert (found, problems) == (names(1, 2), [])
    assert {trajectory.source for trajectory in trajectories} == {"stdin"}
    assert not sys.stdin.buffer.closed


def test_standard_input_of_any_layout(monkeypatch, tmp_path, folder):
    write_trajectories(
        [Trajectory("p", "t", [{"role": "assistant", "content": "a"}])], tmp_path / "p.parquet"
    )
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.write(folder / "3.json", "3.json")
    for data, expected in [
        ((tmp_path / "p.parquet").read_bytes(), ["p"]),
        ((folder / "3.json").read_bytes(), names(3, 4)),
        ((tmp_path / "a.zip").read_bytes(), names(3, 4)),
    ]:
        monkeypatch.setattr(sys, "stdin", Stdin(data))
        assert read("-")[:2] == (expected, [])
    monkeypatch.setattr(sys, "stdin", Stdin(b""))
    with pytest.raises(TrajectoryError, match="standard input: the file is empty"):
        read("-")


def test_a_named_pipe(tmp_path):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    writer = threading.Thread(target=path.write_bytes, args=(lines(1, 2),), daemon=True)
    writer.start()
    assert read(path)[:2] == (names(1, 2), [])
    writer.join()


def zipped(path, members, method=zipfile.ZIP_DEFLATED, file=None):
    with zipfile.ZipFile(file or path, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


class Unseekable(io.RawIOBase):
    """Makes zipfile write the sizes behind the members, as programs do that write to a pipe."""

    def __init__(self, path):
        self.file = path.open("wb")

    def writable(self):
        return True

    def write(self, data):
        return self.file.write(data)

    def close(self):
        self.file.close()


MEMBERS = {
    "b/2.jsonl": lines(2, 3),
    "a.jsonl.gz": gzip.compress(lines(1)),
    "b/4.json": b"[" + line(4) + b"]",
    "b/.hidden": b"x",
    "__MACOSX/b/4.json": b"x",
    "empty/": b"",
    "../c/./5.jsonl": lines(5),  # packed from a folder beside the logs
}


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2])
@pytest.mark.parametrize("streamed", [False, True])
class TestZip:
    def test_members_are_files(self, tmp_path, method, streamed):
        path = tmp_path / "logs.zip"
        zipped(path, MEMBERS, method, Unseekable(path) if streamed else None)
        found, problems, trajectories = read(path)
        assert (found, problems) == (names(5, 1, 2, 3, 4), [])
        sources = [
            "logs.zip/../c/5.jsonl",
            "logs.zip/a.jsonl.gz",
            "logs.zip/b/2.jsonl",
            "logs.zip/b/2.jsonl",
            "logs.zip/b/4.json",
        ]
        assert [trajectory.source for trajectory in trajectories] == sources
        assert read(f"file://{path}") == (found, problems, trajectories)

    def test_a_cut_archive_gives_what_stands_before(self, tmp_path, method, streamed):
        path = tmp_path / "logs.zip"
        many = {f"{number:03}.jsonl": lines(*range(number * 50, number * 50 + 50)) for number in range(40)}
        zipped(path, many, method, Unseekable(path) if streamed else None)
        whole = path.read_bytes()
        path.write_bytes(whole[: len(whole) // 2])
        found, problems, _ = read(path)
        assert found == names(*range(len(found)))
        if method != zipfile.ZIP_BZIP2:
            assert len(found) > 900
        (cut,) = [problem for problem in problems if problem.startswith(f"{path}:")]
        assert "the archive is cut off or damaged" in cut
        assert len(problems) <= 3  # the archive, its last member, and the cut line there

    def test_a_damaged_member_costs_itself_alone(self, tmp_path, method, streamed):
        path = tmp_path / "logs.zip"
        rows = {f"{number}.jsonl": lines(*range(number * 500, number * 500 + 500)) for number in range(3)}
        zipped(path, rows, method, Unseekable(path) if streamed else None)
        data = bytearray(path.read_bytes())
        at = data.find(b"1.jsonl") + 2000
        data[at] ^= 0xFF
        path.write_bytes(data)
        found, problems, _ = read(path)
        assert found[:500] == names(*range(500))
        assert found[-500:] == names(*range(1000, 1500))
        assert any(f"{path}/1.jsonl" in problem for problem in problems)


def test_zip_in_zip_and_in_a_bucket(tmp_path):
    inner = zipped(tmp_path / "in.zip", {"2.jsonl": lines(2)}).read_bytes()
    path = zipped(tmp_path / "out.zip", {"1.jsonl": lines(1), "x/in.zip": inner})
    found, problems, trajectories = read(path)
    assert (found, problems) == (names(1, 2), [])
    assert trajectories[1].source == "out.zip/x/in.zip/2.jsonl"
    store = fsspec.filesystem("memory")
    store.pipe("/bucket/out.zip", path.read_bytes())
    try:
        assert read("memory://bucket/*.zip") == (found, problems, trajectories)
        assert read("memory://bucket/out.zip") == (found, problems, trajectories)
    finally:
        store.store.clear()


def test_members_packed_with_zstandard(tmp_path):
    zstandard = pytest.importorskip("zstandard")
    path = zipped(tmp_path / "run.eval", {"1.jsonl": b"?" * 400, "2.jsonl": lines(2)}, zipfile.ZIP_STORED)
    data = bytearray(path.read_bytes())
    packed = zstandard.compress(lines(1)) + zstandard.compress(lines(5))
    assert len(packed) <= 400
    at = data.find(b"?" * 400)
    data[at : at + 400] = packed.ljust(400, b"\0")
    crc = zlib.crc32(lines(1, 5))
    for header, method_at, crc_at in ((b"PK\3\4", 8, 14), (b"PK\1\2", 10, 16)):
        start = data.find(header)
        struct.pack_into("<H", data, start + method_at, 93)
        struct.pack_into("<I", data, start + crc_at, crc)
    path.write_bytes(data)
    assert read(path)[:2] == (names(1, 5, 2), [])


def test_what_no_member_can_be_read_of_is_named(tmp_path):
    path = zipped(tmp_path / "logs.zip", {"1.jsonl": lines(1), "2.jsonl": lines(2)})
    data = bytearray(path.read_bytes())
    struct.pack_into("<H", data, data.find(b"PK\3\4") + 6, 1)  # encrypted
    path.write_bytes(data)
    found, (problem,), _ = read(path)
    assert found == names(2)
    assert "logs.zip/1.jsonl" in problem
    assert "encrypted" in problem
    zipped(path, {"empty/": b""})
    with pytest.raises(TrajectoryError, match="the archive holds no file"):
        read(path)


def test_archives_of_other_programs_are_no_logs(tmp_path):
    path = zipped(tmp_path / "weights.pt", {"1.jsonl": lines(1)})
    with pytest.raises(TrajectoryError, match="binary data"):
        read(path)


def test_a_tar_archive_is_refused_with_what_to_do(tmp_path):
    (tmp_path / "log.jsonl").write_bytes(line(1))
    for mode, name in (("w", "logs.tar"), ("w:gz", "logs.tgz")):
        with tarfile.open(tmp_path / name, mode) as archive:
            archive.add(tmp_path / "log.jsonl", "log.jsonl")
        with pytest.raises(TrajectoryError, match=r"a tar archive: unpack it \(tar -xf\)"):
            list(read_trajectories(tmp_path / name))


ENCODINGS = ["utf-16", "utf-16-le", "utf-16-be", "utf-32"]  # the first and the last with a byte order mark


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_other_encodings_are_read_as_utf_8_is(tmp_path, encoding, pack):
    messages = [{"role": "user", "content": "Zähle 🙂"}, {"role": "assistant", "content": "\u2028Zwölf"}]
    lines = "".join(
        json.dumps({"messages": messages, "id": f"{n}"}, ensure_ascii=False) + "\n" for n in range(1000)
    )
    document = json.dumps([{"messages": messages}] * 2, indent=1, ensure_ascii=False)
    for text in (lines, document):
        found = []
        for name in ("utf-8", encoding):
            (tmp_path / "log").write_bytes(pack(text.encode(name)))
            found.append(list(read_trajectories(tmp_path / "log", strict=True)))
        assert found[0] == found[1]


@pytest.mark.parametrize("cut", [1, 2, 3, 41])
def test_utf_16_that_is_cut_off_costs_its_last_record(tmp_path, cut):
    text = b"".join(map(line, range(3))).decode()
    (tmp_path / "log").write_bytes(text.rstrip().encode("utf-16")[:-cut])
    report = Report()
    found = list(read_trajectories(tmp_path / "log", report=report))
    assert (len(found), report.problems.count) == (2, 1)


@pytest.mark.parametrize("layout", ["lines", "document", "array"])
@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_nul_bytes_of_a_crash_cost_no_record_beside_them(tmp_path, layout, suffix):
    whole = [line(number).strip() for number in range(3)]
    content = {
        "lines": b"\n".join(whole) + b"\n",
        "document": json.dumps(json.loads(whole[0]), indent=1).encode(),
        "array": b"[" + b",\n".join(whole) + b"]\n",
    }[layout]
    path = tmp_path / f"log{suffix}"
    path.write_bytes((gzip.compress if suffix else bytes)(content + bytes(700)))
    report = Report()
    found = list(read_trajectories(path, report=report))
    assert (len(found), report.problems.count) == (1 if layout == "document" else 3, 1)
    if layout == "lines":
        assert "line 4: 700 NUL bytes, as a crash leaves them" in report.problems.summary()


@given(st.lists(st.integers(0, 3), min_size=4, max_size=4))
@settings(deadline=None, max_examples=10)
def test_nul_bytes_between_records_are_counted(counts):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "log.jsonl")
        first, *others = counts
        path.write_bytes(
            line(0) + b"".join(bytes(many) + line(at) for at, many in enumerate(others)) + bytes(first)
        )
        report, written = Report(), Path(folder, "out.parquet")
        found = list(read_trajectories(path, report=report))
        imported = Report()
        import_logs([path], written, report=imported)
        assert len(found) == 4
        assert report.problems.count == imported.problems.count == sum(map(bool, counts))
        assert list(read_trajectories(written)) == found


def test_a_file_of_nul_bytes_alone_is_named(tmp_path):
    (tmp_path / "log.jsonl").write_bytes(bytes(70))
    with pytest.raises(TrajectoryError, match="NUL bytes alone, as a crash leaves them"):
        list(read_trajectories(tmp_path / "log.jsonl"))


def test_the_members_of_an_archive_can_be_opened_one_by_one(tmp_path):
    path = zipped(tmp_path / "run.eval", {"header.json": b"{}", "samples/1.json": b"[1]"})
    (source,) = find_sources([path])
    members, broken = zip_members(source)
    assert broken is None
    assert [member.label for member in members] == ["run.eval/header.json", "run.eval/samples/1.json"]
    with members[1].open() as file:
        assert file.read() == b"[1]"
