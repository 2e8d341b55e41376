"""Logs at URLs are read like those on disk."""

import gzip
import json
from pathlib import Path

import fsspec
import pytest

from lar.errors import MissingExtraError, TrajectoryError
from lar.trajectories import Report, Trajectory, read_trajectories, write_trajectories

ONE = {"messages": [{"role": "user", "content": "one"}, {"role": "assistant", "content": "yes"}]}
LINE = json.dumps(ONE).encode() + b"\n"


@pytest.fixture
def store():
    """The files of `memory://` URLs."""
    system = fsspec.filesystem("memory")
    system.store.clear()
    system.pseudo_dirs[:] = [""]
    yield system
    system.store.clear()


@pytest.fixture
def bucket(store, tmp_path):
    """A folder of files of every kind, in memory and on the disk."""
    folder = tmp_path / "logs"
    (folder / "sub").mkdir(parents=True)
    (folder / "sub-1").mkdir()  # sorted by folders it comes after sub, by letters before
    (folder / "sub-1" / "e.jsonl").write_bytes(LINE)
    (folder / "a.jsonl.gz").write_bytes(gzip.compress(LINE * 3))
    (folder / "b.json").write_bytes(b"[" + b",\n".join([LINE] * 2) + b"]")
    trajectory = Trajectory("p", "task", ONE["messages"])
    write_trajectories([trajectory] * 5, folder / "sub" / "c.parquet")
    (folder / "sub" / "d.jsonl").write_bytes(LINE + b"{broken\n" + LINE)
    (folder / ".hidden").write_bytes(b"x")
    for file in folder.rglob("*"):
        if file.is_file():
            store.pipe(f"/bucket/logs/{file.relative_to(folder)}", file.read_bytes())
    return folder


def read(paths):
    report = Report()
    problems = report.problems
    return list(read_trajectories(paths, report=report)), problems


def test_a_url_gives_what_the_folder_gives(bucket):
    here, problems = read(bucket)
    found, remote_problems = read("memory://bucket/logs/")
    assert found == here
    assert len(found) == 13
    assert [item.source for item in found] == [item.source for item in here]
    (problem,), (remote_problem,) = problems.records, remote_problems.records
    assert str(remote_problem) == str(problem).replace(str(bucket), "memory:///bucket/logs")


@pytest.mark.parametrize("file", ["a.jsonl.gz", "b.json", "sub/c.parquet", "sub/d.jsonl"])
def test_a_url_of_one_file(bucket, file):
    assert read(f"memory://bucket/logs/{file}")[0] == read(bucket / file)[0]
    assert read(f"file://{bucket / file}")[0] == read(bucket / file)[0]


def test_compressed_data_that_breaks_off_gives_what_stands_before(store):
    records = b"".join(json.dumps({**ONE, "id": f"{i:x}" * 9}).encode() + b"\n" for i in range(5000))
    with store.open("/cut.jsonl.gz", "wb") as file:
        file.write(gzip.compress(records)[:-5000])
    found, problems = read("memory://cut.jsonl.gz")
    assert 1000 < len(found) < 5000
    assert "memory:///cut.jsonl.gz" in str(problems.records[0])
    assert "broken compressed data" in str(problems.records[0])


def test_progress_ends_at_all_bytes(bucket):
    seen = []
    report = Report()
    list(read_trajectories("memory://bucket/logs", report=report, progress=lambda *at: seen.append(at)))
    size = sum(
        file.stat().st_size for file in bucket.rglob("*.*") if file.is_file() and file.name != ".hidden"
    )
    assert seen[-1] == (size, size)


def no_package(url):  # noqa: ARG001
    raise ImportError("Install s3fs to access S3")


@pytest.mark.usefixtures("store")
def test_a_url_that_cannot_be_read_is_one_clear_line(monkeypatch):
    with pytest.raises(FileNotFoundError, match=r"^memory://nowhere: no such file or folder$"):
        read_trajectories("memory://nowhere")
    with pytest.raises(TrajectoryError, match=r"^nothing://x: .*Protocol not known: nothing"):
        read_trajectories("nothing://x")
    monkeypatch.setattr("fsspec.core.url_to_fs", no_package)
    with pytest.raises(MissingExtraError, match=r"^s3://bucket: Install s3fs to access S3$"):
        read_trajectories("s3://bucket")


def test_paths_of_the_disk_do_not_need_fsspec(bucket, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "fsspec.core", None)
    assert len(read(bucket)[0]) == 13
    assert len(read(Path(str(bucket)))[0]) == 13
