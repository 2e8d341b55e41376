"""Which files of a folder are logs: each is read, is part of one that is read, or is counted and named."""

import itertools
import json
import shutil
import tempfile
import zipfile
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lar.trajectories import Report, read_trajectories
from lar.trajectories.importing import import_logs
from lar.trajectories.inputs.files import find_sources
from lar.trajectories.inputs.own_results import kind_of_result
from testing.sessions import LOGS, agent, read, user, write_lines

TRIAL = LOGS / "atif" / "trial"
FOLDERS = (
    ".",
    "a",
    "a/agent",
    "a/agent/sessions",
    "a/2025",
    "a/verifier",
    "a/steps/1/agent",
    "a/event_cache",
)
FOLDERS += ("a/events", "s/message", "s/message/1", "s/part/2", "s/session", "s/todo")
NAMES = (
    "trajectory.json",
    "chat.jsonl",
    "result.json",
    "config.json",
    "7.json",
    "0-25.json",
    "base_state.json",
)
NAMES += ("state.json", "x.arrow", "cache-x.arrow", "dataset_info.json", "db", "db-wal", "migration")
FILES = [f"{folder}/{name}" for folder, name in itertools.product(FOLDERS, NAMES)]


def found_in(folder: Path) -> tuple[set[Path], set[Path]]:
    """The paths that are read, and the files that are passed over."""
    passed: list[Path] = []
    sources = find_sources([folder], lambda _, file: passed.append(file))
    assert len(passed) == len(set(passed))
    return {Path(source.path) for source in sources}, set(passed)


def is_part(file: Path) -> bool:
    """Whether a file may be read with others, by its name."""
    if file.name == "db-wal" or file.parent.name == "events":
        return True
    return file.suffix == ".json" and file.parts[0] == "s" and file.parts[1] in ("message", "part", "session")


@given(st.sets(st.sampled_from(FILES), min_size=1))
@example({"a/agent/trajectory.json", "a/chat.jsonl", "a/2025/chat.jsonl"})
@example({"a/agent/trajectory.json", "a/result.json", "a/chat.jsonl", "a/2025/chat.jsonl"})
@example({"a/events/7.json", "a/events/chat.jsonl", "a/event_cache/chat.jsonl"})
@example({"s/message/1/7.json", "s/part/2/7.json", "s/session/7.json", "s/message/7.json", "s/chat.jsonl"})
@example({"a/state.json", "./db-wal"})
@settings(deadline=None)
def test_each_file_is_read_or_passed_over(files: set[str]) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for file in files:
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            (folder / file).touch()
        read_, passed = found_in(folder)
        written = {folder / file for file in files}
        assert passed <= written
        assert not read_ & passed
        for file in written - read_ - passed:
            assert is_part(file.relative_to(folder))
            assert file.name != "chat.jsonl"
        # A chat is a note only among what the agent and the verifier of a trial wrote.
        for file in passed:
            assert file.name != "chat.jsonl" or {"agent", "verifier"} & set(file.parts)


def chat(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_lines(path, [{"messages": [user(text), agent("Twelve.")]}])


def test_a_trajectory_in_a_folder_named_agent_hides_nothing(tmp_path: Path) -> None:
    shutil.copytree(TRIAL / "agent", tmp_path / "agent")
    chat(tmp_path / "chat.jsonl", "Count bay 4.")
    chat(tmp_path / "2025" / "chat.jsonl", "Count bay 5.")
    found, report = read(tmp_path, strict=True)
    assert len(found) == 3
    assert report.not_read == {}


def test_beside_events_other_files_are_read(tmp_path: Path) -> None:
    first, *_ = (LOGS / "openhands" / "sdk_events.jsonl").read_text().splitlines()
    chat(tmp_path / "events" / "chat.jsonl", "Count bay 4.")
    (tmp_path / "events" / "7.json").write_text(first)
    found, report = read(tmp_path)
    assert [item.source for item in found] == [f"{tmp_path.name}/events/chat.jsonl"]
    assert [str(problem.path) for problem in report.problems.records] == [str(tmp_path / "events")]


def job(folder: Path) -> Path:
    """Two trials of Harbor with a file each of the agent and of the verifier, and a chat beside."""
    for name in ("one", "two"):
        shutil.copytree(TRIAL, folder / name)
        chat(folder / name / "agent" / "sessions" / "1.jsonl", "The same run.")
        (folder / name / "verifier").mkdir()
        (folder / name / "verifier" / "reward.txt").write_text("1")
    (folder / "config.json").write_text("{}")
    chat(folder / "one" / "chat.jsonl", "Count bay 4.")
    return folder


def test_notes_are_counted_once_and_the_first_is_named(tmp_path: Path) -> None:
    folder = job(tmp_path / "job")
    logs = read_trajectories([folder, folder, tmp_path], report=(report := Report()))
    for _ in range(2):
        assert len(list(logs)) == 3
    [(what, files)] = report.not_read.items()
    assert (what, files.files, files.first) == ("Harbor's notes", 7, str(folder / "config.json"))
    imported = Report()
    import_logs([folder], tmp_path / "out.jsonl", workers=1, report=imported)
    assert imported.not_read == report.not_read
    # What is given by name is read.
    _, named = read_both(folder, folder / "two" / "verifier" / "reward.txt")
    assert named.not_read["Harbor's notes"].files == 6
    assert named.problems.count == 1


@pytest.mark.parametrize("root", ["logs", "logs/job/one"])
def test_an_archive_gives_what_its_folder_gives(tmp_path: Path, root: str) -> None:
    job(tmp_path / "logs" / "job")
    path = tmp_path / "job.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted((tmp_path / root).rglob("*")):
            archive.write(file, file.relative_to(tmp_path / root))
    of_folder, expected = read(tmp_path / root, strict=True)
    found, report = read(path, strict=True)
    assert [(one.task, one.success, one.messages) for one in found] == [
        (one.task, one.success, one.messages) for one in of_folder
    ]
    assert {one.success for one in found} == {True, None}
    counts = {what: files.files for what, files in report.not_read.items()}
    assert counts == {what: files.files for what, files in expected.not_read.items()}
    assert str(path) in next(iter(report.not_read.values())).first
    imported = Report()
    import_logs([path], tmp_path / "out.jsonl", workers=1, report=imported)
    assert imported == report


def read_both(*paths: Path) -> tuple[list[object], Report]:
    report = Report()
    return list(read_trajectories(paths, report=report)), report


@pytest.mark.parametrize("file", ["autogen/state.json", "langchain/state.json"])
def test_a_state_is_a_log_where_no_dataset_is(tmp_path: Path, file: str) -> None:
    shutil.copy(LOGS / file, tmp_path)
    assert [item.messages for item in read(tmp_path)[0]] == [item.messages for item in read(LOGS / file)[0]]


def test_a_state_that_nests_without_an_end_names_no_files(tmp_path: Path) -> None:
    (tmp_path / "state.json").write_text("[" * 100_000)
    (tmp_path / "x.arrow").touch()
    found, passed = found_in(tmp_path)
    assert (found, passed) == ({tmp_path / "x.arrow"}, {tmp_path / "state.json"})


RESULTS = {
    "run": ("run.json", {"logs": ["logs"], "model": "m", "hold_out": 0.2}),
    "corpus": ("manifest.json", {"tokenizer_fingerprint": "0", "parts": []}),
    "vocabulary": ("latent_vocabulary.json", {"tokenizer_fingerprint": "0", "latents": []}),
    "student": ("distillation.json", {"options": {}, "base_fingerprint": "0"}),
}


@pytest.fixture
def beside_results(tmp_path):
    """A folder with a log of one run, and with results of it."""
    (tmp_path / "logs").mkdir()
    write_lines(tmp_path / "logs" / "a.jsonl", [{"messages": [user("Hi"), agent("Hello there!")]}])
    for name, (file, record) in RESULTS.items():
        folder = tmp_path / "logs" / "results" / name
        (folder / "inner").mkdir(parents=True)
        write_lines(folder / "inner" / "b.jsonl", [{"messages": [user("Go"), agent("Gone for good.")]}])
        (folder / file).write_text(json.dumps(record), encoding="utf-8")
    return tmp_path / "logs"


@pytest.mark.parametrize("pattern", ["", "**", "**/*.json*"])
def test_results_of_this_package_are_no_logs(beside_results, pattern):
    report = Report()
    read_ = list(read_trajectories(beside_results / pattern, report=report))
    assert [one.task for one in read_] == [one.task for one in read_trajectories(beside_results / "a.jsonl")]
    assert {what: found.files for what, found in report.not_read.items()} == {
        "results of lar run": 2,
        "a corpus of lar": 2,
        "a vocabulary of lar": 2,
        "a student of lar": 2,
    }
    assert not report.problems.count


def test_results_that_are_named_are_read(beside_results):
    inner = beside_results / "results" / "run" / "inner"
    for named in (
        inner / "b.jsonl",
        inner,
        inner.parent,
        beside_results / "results" / "r*" / "*" / "b.jsonl",
    ):
        assert len(list(read_trajectories(named, report=Report()))) == 1
    report = Report()
    assert len(list(read_trajectories([beside_results, inner / "b.jsonl"], report=report))) == 2
    assert report.not_read["results of lar run"].files == 1


@pytest.mark.parametrize("name", [file for file, _ in RESULTS.values()])
def test_a_log_with_the_name_of_a_result_is_read(tmp_path, name):
    (tmp_path / "logs" / "a").mkdir(parents=True)
    write_lines(tmp_path / "logs" / "a" / name, [{"messages": [user("Hi"), agent("Hello there!")]}])
    assert len(list(read_trajectories(tmp_path / "logs"))) == 1


def test_what_this_package_writes_is_known(tmp_path, corpus, vocabulary):
    corpus_copy, mined = tmp_path / "corpus", tmp_path / "vocabulary"
    shutil.copytree(corpus.path, corpus_copy)
    vocabulary.save(mined)
    for folder in (corpus_copy, mined):
        assert kind_of_result(folder, [file.name for file in folder.iterdir()])
