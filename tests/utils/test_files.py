"""Folders are written in one step: whatever happens, the earlier result or the new one is there."""

import errno
import os
import re
import shutil
import stat
import subprocess
import sys
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lar.errors import OptionError
from lar.utils.files import (
    atomic_file,
    atomic_folder,
    check_replaceable,
    check_usable,
    only_writer,
    read_json,
    remove_folder,
    write_json,
)

KIND = "kind.json"


def write(target, text, error=None):
    with atomic_folder(target, holds=KIND) as folder:
        (folder / KIND).write_text(text)
        if error is not None:
            raise error


def write_file(target, error):
    with atomic_file(target):
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


@pytest.fixture
def flushed(monkeypatch):
    """The sizes of the files that the disk had when they were renamed, and their folders, by inode."""
    on_disk, at_rename, flush, rename = {}, {}, os.fsync, os.replace

    def flushing(handle):
        flush(handle)
        on_disk[os.fstat(handle).st_ino] = os.fstat(handle).st_size

    def renaming(source, target, **keywords):
        at_rename.update(on_disk)
        rename(source, target, **keywords)

    monkeypatch.setattr(os, "fsync", flushing)
    monkeypatch.setattr(os, "replace", renaming)
    monkeypatch.setattr(os, "rename", renaming)
    return at_rename


def test_what_gets_its_name_is_on_the_disk(target, flushed):
    with atomic_folder(target, holds=KIND) as folder:
        (folder / "a" / "b").mkdir(parents=True)
        (folder / "one").write_bytes(b"1" * 5000)
        (folder / "a" / "b" / "two").write_bytes(b"2")
    write_json(target.with_name("three"), {"three": 3})
    files = [target / "one", target / "a" / "b" / "two", target.with_name("three")]
    assert {file.stat().st_ino: file.stat().st_size for file in files}.items() <= flushed.items()


def test_a_disk_that_fails_is_an_error_and_one_without_flushing_is_none(tmp_path, monkeypatch):
    target = tmp_path / "file.json"

    def failing(number):
        def fsync(_):
            raise OSError(number, os.strerror(number))

        return fsync

    monkeypatch.setattr(os, "fsync", failing(errno.EINVAL))
    write_json(target, {"a": 1})
    monkeypatch.setattr(os, "fsync", failing(errno.EIO))
    with pytest.raises(OSError, match=re.escape(str(target))):
        write_json(target, {"a": 2})
    assert read_json(target) == {"a": 1}
    assert names(tmp_path) == ["file.json"]


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


@pytest.mark.parametrize("other", [None, "letter.txt", ".hidden"])
def test_what_a_killed_process_has_left_is_nothing_but_is_not_replaced(tmp_path, other):
    (tmp_path / f".{KIND}.abc.partial").write_text("")
    if other is None:
        check_usable(tmp_path, KIND)
    else:
        (tmp_path / other).write_text("mine")
        with pytest.raises(OptionError, match="already contains something else"):
            check_usable(tmp_path, KIND)
    with pytest.raises(OptionError, match="already contains something else"):
        check_replaceable(tmp_path, KIND)


@pytest.mark.parametrize("inside", [".", "deeper"])
def test_the_working_directory_is_refused_before_the_work(target, monkeypatch, inside):
    (target / inside).mkdir(exist_ok=True)
    monkeypatch.chdir(target / inside)
    way = os.path.relpath(target)
    check_usable(Path(way), KIND)
    for call in (partial(check_replaceable, holds=KIND), partial(write, text="new")):
        with pytest.raises(OptionError, match="holds the working directory"):
            call(Path(way))
    assert names(Path()) == names(target / inside)
    write(Path(way) / "below", "new")


def test_where_the_working_directory_was_deleted_folders_are_written(target, monkeypatch):
    (target.parent / "gone").mkdir()
    monkeypatch.chdir(target.parent / "gone")
    (target.parent / "gone").rmdir()
    write(target, "new")
    assert (target / KIND).read_text() == "new"


@pytest.mark.parametrize("is_there", [False, True])
def test_the_folder_that_a_symlink_leads_to_has_one_writer(tmp_path, is_there):
    real, link = tmp_path / "disk" / "corpus", tmp_path / "link"
    if is_there:
        real.mkdir(parents=True)
    link.symlink_to(real)
    with (
        only_writer(link),
        pytest.raises(OptionError, match="another process is writing to it"),
        only_writer(real),
    ):
        pass
    assert link.is_symlink()


def test_no_half_of_a_removed_folder_is_left_under_its_name(target, monkeypatch):
    (target / "second").write_text("old")
    rmtree = shutil.rmtree

    def killed(path, **_):
        if Path(path).exists():
            (Path(path) / "second").unlink()
            raise KeyboardInterrupt

    monkeypatch.setattr(shutil, "rmtree", killed)
    with pytest.raises(KeyboardInterrupt):
        remove_folder(target)
    assert not target.exists()
    monkeypatch.setattr(shutil, "rmtree", rmtree)
    write(target, "new")
    for _ in range(2):  # of a folder that is not there, only what was left is removed
        remove_folder(target)
        assert names(target.parent) == []


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


class OfRustError(Exception):
    """As safetensors and tokenizers raise it."""


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EFBIG])
@pytest.mark.parametrize("kind", ["folder", "file"])
def test_a_full_disk_is_one_error_whatever_library_writes(target, number, kind):
    error = OfRustError(f"Error while serializing: I/O error: {os.strerror(number)} (os error {number})")
    if kind == "file":
        target = target / KIND
    with pytest.raises(OSError, match=re.escape(os.strerror(number))) as caught:
        write(target, "new", error) if kind == "folder" else write_file(target, error)
    assert (caught.value.errno, caught.value.filename) == (number, str(target))
    assert caught.value.__cause__ is error
    assert "old" in {path.read_text() for path in target.parent.rglob(KIND)}
    assert not list(target.parent.glob(".*"))


def test_weights_that_do_not_fit_on_the_disk_are_an_error_with_the_path(tmp_path):
    pytest.importorskip("safetensors", reason="needs the extra `train`")
    code = """
import resource, signal, sys
from pathlib import Path
import numpy as np
from safetensors.numpy import save_file
from lar.utils.files import atomic_folder
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
try:
    with atomic_folder(Path(sys.argv[1]), holds=None) as folder:
        save_file({"weights": np.zeros(10_000)}, folder / "model.safetensors")
except OSError as error:
    print(error)
"""
    command = [sys.executable, "-c", code, str(tmp_path / "student")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == f"[Errno 27] File too large: '{tmp_path / 'student'}'\n"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("text", ["a failure", "no such file (os error 2)"])
def test_other_errors_of_a_library_are_left_as_they_are(target, text):
    error = OfRustError(text)
    with pytest.raises(OfRustError) as caught:
        write(target, "new", error)
    assert caught.value is error


def test_a_folder_has_the_access_rights_of_any_new_folder(target):
    (target.parent / "plain").mkdir()
    assert stat.S_IMODE(target.stat().st_mode) == stat.S_IMODE((target.parent / "plain").stat().st_mode)


@pytest.mark.parametrize("text", ["", "{", "[]", "[" * 100_000, "9" * 5000])
def test_a_damaged_record_is_one_line(tmp_path, text):
    (tmp_path / "record.json").write_text(text)
    with pytest.raises(OptionError, match=r"record\.json: not ") as caught:
        read_json(tmp_path / "record.json")
    assert "\n" not in str(caught.value)


TEXTS = st.text(st.characters(codec=None)) | st.binary().map(os.fsdecode)  # the second: any file's name


@given(st.dictionaries(TEXTS, TEXTS | st.none() | st.integers() | st.lists(TEXTS)))
@example({"a": [1, None, "é"]})
@example({"logs": "b\udcff.jsonl"})
def test_what_was_written_is_read(value):
    with TemporaryDirectory() as folder:
        write_json(Path(folder, "record.json"), value)
        assert read_json(Path(folder, "record.json")) == value
