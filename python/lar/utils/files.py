"""Writes files and folders in one step: to a temporary name beside the target, then a rename.

What is written is on the disk before the rename. Otherwise a machine that loses its power there may come back
with the new name and an empty file under it.
"""

import errno
import json
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from lar.errors import LarError, OptionError
from lar.utils.paths import printable


def _umask() -> int:
    """The process's file mode creation mask; it can only be read by setting it."""
    mask = os.umask(0)
    os.umask(mask)
    return mask


# Read once: while it is being read, files that another thread makes can be written by everybody.
_UMASK = _umask()

# What a full disk raises, and a limit on the size of files or of what a user may store.
_FULL = {getattr(errno, name) for name in ("ENOSPC", "EFBIG", "EDQUOT") if hasattr(errno, name)}
# What file systems raise that cannot be told to write to their disk.
_CANNOT_FLUSH = {getattr(errno, name) for name in ("EINVAL", "ENOTSUP", "ENOSYS") if hasattr(errno, name)}
# How libraries in Rust (safetensors, tokenizers) word an error of the system, which they raise as their own.
_OF_SYSTEM = re.compile(r"\(os error (\d+)\)")


@contextmanager
def atomic_file(target: Path) -> Iterator[Path]:
    """Yield a temporary path beside `target`; rename it to `target` when the block ends without an error.

    A missing parent folder is made. On any error the temporary file is removed, and an existing `target` is
    unchanged. Of a symlink, the file that it leads to is replaced.
    """
    target = _resolved(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".partial", dir=target.parent)
    os.close(handle)
    temporary = Path(name)
    temporary.chmod(0o666 & ~_UMASK)  # mkstemp makes files that only their owner can read and write
    try:
        with writing(target):
            yield temporary
            flush(temporary)
            temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def flush(target: Path) -> None:
    """Wait until the disk has a file, or all files below a folder."""
    if target.is_dir():
        for folder, _, names in os.walk(target):
            for name in names:
                _flush_file(Path(folder, name))
    else:
        _flush_file(target)


def _flush_file(file: Path) -> None:
    # Windows flushes what may be written alone.
    handle = os.open(file, os.O_RDWR if sys.platform == "win32" else os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in _CANNOT_FLUSH:
            raise
    finally:
        os.close(handle)


def write_json(target: Path, value: Any) -> None:
    """Write a value as an indented JSON file, in one step (see `atomic_file`).

    Bytes of a path that are no UTF-8 are escapes in it, which `read_json` reads back.
    """
    text = printable(json.dumps(value, ensure_ascii=False, indent=2))
    with atomic_file(target) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")


def read_json(file: Path, error: type[Exception] = OptionError) -> dict[str, Any]:
    """The object in a JSON file.

    Raises:
        error: the file holds something else.
        OSError: it cannot be read.
    """
    try:
        value = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as found:
        raise error(f"{file}: not JSON ({found})") from None
    if not isinstance(value, dict):
        raise error(f"{file}: not a JSON object")
    return value


def check_usable(target: Path, holds: str | None) -> None:
    """Raise OptionError unless `target` is absent, an empty folder, or a folder with the file `holds`.

    For a folder in which results are collected, and which itself is never replaced. Temporary files are
    nothing: a process that was killed while it wrote `holds` has left them.
    """
    _check_kind(target, holds, ignored=".*.partial")


def _check_kind(target: Path, holds: str | None, ignored: str = "") -> None:
    is_empty = target.is_dir() and all(fnmatch(entry.name, ignored) for entry in target.iterdir())
    if not target.exists() or is_empty:
        return
    if holds is None or not (target / holds).is_file():
        raise OptionError(f"{target}: already contains something else; choose another folder or remove it")


@contextmanager
def only_writer(folder: Path) -> Iterator[None]:
    """Hold `folder`, which is made if it is missing, so that nobody else writes to it within the block.

    The system lets go of it when the process ends, however it ends. Windows and file systems without locks
    hold nothing.

    Raises:
        OptionError: another process, or another thread of this one, holds the folder.
    """
    _resolved(folder).mkdir(parents=True, exist_ok=True)
    if sys.platform == "win32":
        yield
        return
    import fcntl

    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise OptionError(f"{folder}: another process is writing to it; wait for its end") from None
        except OSError:
            pass  # a file system without locks
        yield
    finally:
        os.close(handle)


def check_replaceable(target: Path, holds: str | None) -> None:
    """Raise OptionError unless `atomic_folder` can write to `target`, which is no mount point.

    It is absent, an empty folder, or a folder with the file `holds`.

    Nor is it the working directory or a folder above: this process and the user's shell would be in a folder
    that is deleted. Call it before hours of work, so that no unrelated folder is replaced, or blocks the
    result at the end.
    """
    _check_kind(target, holds)
    if os.path.ismount(_resolved(target)):
        raise OptionError(f"{target}: a mount point cannot be replaced; choose a folder in it")
    if _holds_working_directory(_resolved(target)):
        raise OptionError(f"{target}: holds the working directory; choose a folder in it, or work elsewhere")


def _holds_working_directory(folder: Path) -> bool:
    try:
        return Path.cwd().is_relative_to(folder)
    except FileNotFoundError:  # it was deleted
        return False


@contextmanager
def atomic_folder(target: Path, *, holds: str | None) -> Iterator[Path]:
    """Yield a temporary folder beside `target`; it becomes `target` when the block ends without an error.

    An existing folder at `target` is replaced only then, and only if it contains the file `holds`, by which
    it is of the same kind (see `check_replaceable`). Of a symlink, the folder that it leads to is replaced.
    After an error in the block, the temporary folder is removed; if only the replacing fails, it is kept, and
    the error names it.
    """
    check_replaceable(target, holds)
    target = _resolved(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{target.name}.", suffix=".partial", dir=target.parent))
    try:
        with writing(target):
            temporary.chmod(0o777 & ~_UMASK)
            yield temporary
            flush(temporary)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    _replace(target, temporary)


def _replace(target: Path, temporary: Path) -> None:
    """Rename `temporary` to `target`. The folder that was there is set aside first, and deleted last."""
    aside, finished = temporary.with_suffix(".old.partial"), temporary.with_suffix(".finished")
    try:
        temporary.rename(finished)  # what is called partial, `lar status` tells people to remove
        if target.exists():
            target.rename(aside)
        finished.rename(target)
    except BaseException as error:
        if aside.exists() and not target.exists():
            aside.rename(target)
        if isinstance(error, OSError):
            kept = finished if finished.exists() else temporary
            message = f"{error.strerror}; the finished folder is kept as {kept}"
            raise OSError(error.errno, message, str(target)) from error
        raise
    shutil.rmtree(aside, ignore_errors=True)


def _resolved(target: Path) -> Path:
    """`target` without symlinks: a link cannot be replaced, and the place beside it may be another disk."""
    return Path(os.path.realpath(target))


def remove_folder(folder: Path) -> None:
    """Remove a folder, if it is there; errors are ignored.

    It loses its name first: of a process that is killed here, no half of it is left under that name.
    """
    aside = folder.with_name(f".{folder.name}.removed.partial")
    shutil.rmtree(aside, ignore_errors=True)
    with suppress(OSError):
        if not folder.is_symlink():
            folder = folder.rename(aside)
    shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def temporary_files() -> Iterator[None]:
    """Give an error of a full disk within the block the folder of temporary files, and the way out."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL and error.filename is None:
            error.filename = f"{tempfile.gettempdir()} (temporary files; TMPDIR names another folder)"
        raise


@contextmanager
def temporary_folder(prefix: str = "lar-", suffix: str = "", directory: Path | None = None) -> Iterator[Path]:
    """A folder of temporary files for the block, also where that is in a generator that is dropped.

    It is in `directory`, by default where the system has its temporary files. `TemporaryDirectory` warns in a
    generator, because it may be collected before the generator ends its blocks. And it is removed at the end
    of each process that is forked within the block; this folder is not.
    """
    folder, maker = Path(tempfile.mkdtemp(suffix, prefix, directory)), os.getpid()
    try:
        yield folder
    finally:
        remove_made_in(maker, folder)


def remove_made_in(process: int, folder: Path) -> None:
    """Remove a temporary folder if this is the process that made it, and none that was forked from it."""
    if os.getpid() == process:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def writing(target: Path) -> Iterator[None]:
    """Give an error of writing within the block, such as that of a full disk, the path `target`.

    Libraries in Rust raise the error of a full disk as one of their own; it becomes an OSError.
    """
    try:
        yield
    except OSError as error:
        if error.errno is not None and error.filename is None:
            error.filename = str(target)
        raise
    except LarError:
        raise
    except Exception as error:
        found = _OF_SYSTEM.search(str(error))
        number = int(found[1]) if found else 0
        if number not in _FULL:
            raise
        raise OSError(number, os.strerror(number), str(target)) from error
