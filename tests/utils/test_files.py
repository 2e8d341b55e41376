"""Folders are written in one step: whatever happens, the earlier result or the new one is there."""

import os
import shutil
import stat
from pathlib import Path

import pytest

from lar.errors import OptionError
from lar.utils.files import atomic_folder, check_replaceable, check_usable, read_json, write_json

KIND = "kind.json"


def write(target, text, error=None):
    with atomic_folder(target, holds=KIND) as folder:
        (folder / KIND).write_text(text)
        if error is not None:
            raise error


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def target(tmp_path):
    write(tmp_path / "out", "old")
    return tmp_path / "out"


def test_a_folder_of_its_kind_is_replaced_and_nothing_is_left_beside_it(target):
    write(target, "new")
    assert (target / KIND).read_text() == "new"
    assert names(target.parent) == ["out"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_error_in_the_block_changes_nothing(target, error):
    with pytest.raises(error):
        write(target, "new", error)
    assert (target / KIND).read_text() == "old"
    assert names(target.parent) == ["out"]


@pytest.mark.parametrize("before", [None, "empty", "old"])
def test_the_folder_that_a_symlink_leads_to_is_replaced(tmp_path, before):
    (tmp_path / "disk").mkdir()
    real, link = tmp_path / "disk" / "student", tmp_path / "link"
    if before == "old":
        write(real, "old")
    elif before == "empty":
        real.mkdir()
    link.symlink_to(real)
    write(link, "new")
    assert link.is_symlink()
    assert (real / KIND).read_text() == "new"
    assert names(tmp_path) == ["disk", "link"]
    assert names(real.parent) == ["student"]


@pytest.mark.parametrize("is_there", [False, True])
def test_the_file_that_a_symlink_leads_to_is_replaced(tmp_path, is_there):
    real, link = tmp_path / "disk" / "units.jsonl", tmp_path / "link.jsonl"
    if is_there:
        real.parent.mkdir()
        real.write_text("old")
    link.symlink_to(real)
    write_json(link, {"new": True})
    assert link.is_symlink()
    assert read_json(real) == {"new": True}
    assert names(tmp_path) == ["disk", "link.jsonl"]
    assert names(real.parent) == ["units.jsonl"]


def test_a_mount_point_is_refused_before_the_work_but_may_collect_results(tmp_path, monkeypatch):
    monkeypatch.setattr(os.path, "ismount", lambda path: Path(path) == tmp_path)
    check_usable(tmp_path, KIND)
    with pytest.raises(OptionError, match="a mount point cannot be replaced"):
        check_replaceable(tmp_path, KIND)


@pytest.mark.parametrize("error", [OSError(16, "busy"), KeyboardInterrupt()])
def test_while_the_old_folder_is_deleted_the_new_one_is_in_its_place(target, monkeypatch, error):
    rmtree, deleted = shutil.rmtree, []

    def stopped(path, **keywords):
        deleted.append(path)
        assert (target / KIND).read_text() == "new"
        if isinstance(error, KeyboardInterrupt):
            raise error
        rmtree(path, **keywords)

    monkeypatch.setattr(shutil, "rmtree", stopped)
    try:
        write(target, "new")
    except KeyboardInterrupt:
        assert isinstance(error, KeyboardInterrupt)
    assert len(deleted) == 1
    assert (target / KIND).read_text() == "new"


@pytest.mark.parametrize(("fails_at", "suffix"), [(1, ".partial"), (2, ".finished"), (3, ".finished")])
def test_a_finished_folder_that_cannot_be_put_in_place_is_kept_and_named(
    target, monkeypatch, fails_at, suffix
):
    rename, calls = Path.rename, []

    def failing(path, to):
        calls.append(path)
        if len(calls) == fails_at:
            raise OSError(16, "Device or resource busy")
        return rename(path, to)

    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises(OSError, match="Device or resource busy; the finished folder is kept as") as caught:
        write(target, "new")
    assert caught.value.filename == str(target)
    assert (target / KIND).read_text() == "old"
    (kept,) = target.parent.glob(f".out.*{suffix}")
    assert str(kept) in str(caught.value)
    assert (kept / KIND).read_text() == "new"
    assert names(target.parent) == [kept.name, "out"]


def test_a_folder_has_the_access_rights_of_any_new_folder(target):
    (target.parent / "plain").mkdir()
    assert stat.S_IMODE(target.stat().st_mode) == stat.S_IMODE((target.parent / "plain").stat().st_mode)


@pytest.mark.parametrize("text", ["", "{", "[]", "[" * 100_000, "9" * 5000])
def test_a_damaged_record_is_one_line(tmp_path, text):
    (tmp_path / "record.json").write_text(text)
    with pytest.raises(OptionError, match=r"record\.json: not ") as caught:
        read_json(tmp_path / "record.json")
    assert "\n" not in str(caught.value)


def test_what_was_written_is_read(tmp_path):
    write_json(tmp_path / "record.json", {"a": [1, None, "é"]})
    assert read_json(tmp_path / "record.json") == {"a": [1, None, "é"]}
