"""`lar import --sample`: whole tasks, about as many trajectories as asked for, the same ones each time."""

import json
from collections import Counter

import pytest

from lar.errors import OptionError
from lar.trajectories import Report, read_trajectories
from lar.trajectories.importing import import_logs
from lar.trajectories.schema import Trajectory
from lar.trajectories.write import write_trajectories


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    """Two thousand runs at a thousand tasks, in plain chat lines, and some of this package's."""
    folder = tmp_path_factory.mktemp("sampled")
    runs = [
        (number, [("user", f"task {number // 2}"), ("assistant", f"run {number}")]) for number in range(2000)
    ]
    with (folder / "chat.jsonl").open("w") as file:
        for _, turns in runs:
            messages = [{"role": role, "content": content} for role, content in turns]
            print(json.dumps({"messages": messages}), file=file)
    own = [
        Trajectory(id=str(number), task=f"own {number}", messages=[{"role": "assistant", "content": "done"}])
        for number in range(100)
    ]
    write_trajectories(own, folder / "own.jsonl")
    return folder


def sampled(log, output, number, **options):
    tally = import_logs([log / "chat.jsonl", log / "own.jsonl"], output, sample=number, **options)
    return tally, list(read_trajectories(output))


def test_about_so_many_trajectories_of_whole_tasks(log, tmp_path):
    tally, found = sampled(log, tmp_path / "all.jsonl", None)
    assert tally.trajectories == tally.found == 2100
    runs = Counter(one.task for one in found)
    tally, part = sampled(log, tmp_path / "part.jsonl", 600)
    assert tally.trajectories == len(part)
    assert tally.found == 2100
    assert 450 < len(part) < 750
    kept = Counter(one.task for one in part)
    assert all(runs[task] == number for task, number in kept.items())
    assert [one for one in found if one.task in kept] == part


def test_a_sample_grows_and_is_the_same_for_any_number_of_processes(log, tmp_path):
    _, small = sampled(log, tmp_path / "small.jsonl", 50, workers=1)
    _, again = sampled(log, tmp_path / "again.jsonl", 50, workers=2)
    _, large = sampled(log, tmp_path / "large.jsonl", 500)
    assert small == again
    assert {one.task for one in small} < {one.task for one in large}


def test_a_sample_of_all_is_all_and_the_report_is_of_what_was_read(log, tmp_path):
    whole, report = Report(), Report()
    sampled(log, tmp_path / "whole.parquet", None, report=whole)
    tally, _ = sampled(log, tmp_path / "more.parquet", 10**6)
    assert tally.trajectories == 2100
    assert (tmp_path / "whole.parquet").read_bytes() == (tmp_path / "more.parquet").read_bytes()
    sampled(log, tmp_path / "part.parquet", 100, report=report)
    assert report.formats == whole.formats


def test_a_sample_without_a_task_is_refused_and_writes_nothing(tmp_path):
    messages = [{"role": "user", "content": "one task"}, {"role": "assistant", "content": "x"}]
    with (tmp_path / "log.jsonl").open("w") as file:
        for number in range(1000):
            print(
                json.dumps({"messages": [*messages[:1], {**messages[1], "content": str(number)}]}), file=file
            )
    with pytest.raises(OptionError, match="no task of 1,000 trajectories"):
        import_logs([tmp_path / "log.jsonl"], tmp_path / "out.parquet", sample=1)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["log.jsonl"]


def test_the_windows_of_a_conversation_are_sampled_together(tmp_path):
    """Calls whose client sends the last three messages: each with a first message of its own."""
    with (tmp_path / "calls.jsonl").open("w") as file:
        for talk in range(40):
            said = [{"role": "user", "content": f"{talk} asks"}]
            for turn in range(6):
                answer = {"role": "assistant", "content": f"{talk} says {turn} ".ljust(200, ".")}
                print(json.dumps({"request": {"messages": said[-3:]}, "response": answer}), file=file)
                said += [answer, {"role": "user", "content": f"{talk} has {turn}"}]
    import_logs([tmp_path / "calls.jsonl"], tmp_path / "part.jsonl", sample=80)
    found = Counter(one.task for one in read_trajectories(tmp_path / "part.jsonl"))
    assert 0 < len(found) < 40
    assert set(found.values()) == {5}  # the first call is the beginning of the second
