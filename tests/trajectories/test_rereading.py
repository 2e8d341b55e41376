"""`read_trajectories` can be read again, and its report counts every record once."""

import json
import warnings

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import lar
from lar.errors import TrajectoryError
from testing import toy

TURNS = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello!"}]
CHAT = {"messages": TURNS, "note": "by hand"}


def write(folder):
    """A file of this package, and one of another with a bad record and a repeated history."""
    lar.write_trajectories(toy.trajectories(5), folder / "own.jsonl")
    longer = [*TURNS, {"role": "user", "content": "Bye"}, {"role": "assistant", "content": "Bye!"}]
    lines = [CHAT, {"messages": longer, "note": "longer"}, {"nothing": 1}]
    (folder / "chat.jsonl").write_text("".join(f"{json.dumps(one)}\n" for one in lines))
    return [folder / "own.jsonl", folder / "chat.jsonl"]


def test_each_iteration_gives_the_same(tmp_path):
    report = lar.Report()
    found = lar.read_trajectories(write(tmp_path), report=report)
    first = list(found)
    assert len(first) == 6
    counted = repr(report)
    assert (report.repeated, report.problems.count) == (1, 1)
    assert list(found) == first == list(found)
    assert repr(report) == counted


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(0, 7), max_size=4))
def test_the_report_is_that_of_one_reading_however_it_is_read(tmp_path_factory, lengths):
    paths = write(tmp_path_factory.mktemp("logs"))
    expected, report = lar.Report(), lar.Report()
    list(lar.read_trajectories(paths, report=expected))
    found = lar.read_trajectories(paths, report=report)
    for length in lengths:  # readings that are left early
        for _ in zip(range(length), found, strict=False):
            pass
    together = list(zip(found, found, strict=True))
    assert all(one == other for one, other in together)
    list(found)
    assert repr(report) == repr(expected)


def test_reports_that_several_readings_share_add_up(tmp_path):
    paths = write(tmp_path)
    report, expected = lar.Report(), lar.Report()
    readings = [lar.read_trajectories(path, report=report) for path in paths]
    for found in [*readings, *readings]:
        list(found)
    list(lar.read_trajectories(paths, report=expected))
    assert report.formats == expected.formats
    assert report.problems.count == expected.problems.count


def test_records_in_memory_are_read_again_unless_they_are_an_iterator():
    found = lar.read_trajectories([CHAT])
    assert len(list(found)) == len(list(found)) == 1
    once = lar.read_trajectories(iter([CHAT]))
    assert len(list(once)) == 1
    with pytest.raises(TrajectoryError, match="only once"):
        list(once)


def test_the_repr_names_the_files(tmp_path):
    paths = write(tmp_path)
    assert repr(lar.read_trajectories(paths)) == "Trajectories(own.jsonl, chat.jsonl)"
    assert "memory" in repr(lar.read_trajectories([CHAT]))


def test_the_warning_of_bad_records_is_the_callers(tmp_path):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        list(lar.read_trajectories(write(tmp_path)))
    (warning,) = [one for one in caught if one.category is lar.trajectories.BadRecordWarning]
    assert warning.filename == __file__
