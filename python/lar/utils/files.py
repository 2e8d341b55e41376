"""Writes files and folders in one step: to a temporary name beside the target, then a rename."""

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lar.errors import OptionError


@contextmanager
def atomic_file(target: Path) -> Iterator[Path]:
    """Yield a temporary path beside `target`; rename it to `target` when the block ends without an error.

    A missing parent folder is made. On any error the temporary file is removed, and an existing `target` is
    unchanged.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".partial", dir=target.parent)
    os.close(handle)
    temporary = Path(name)
    temporary.chmod(0o666 & ~_umask())  # mkstemp makes files that only their owner can read and write
    try:
        yield temporary
        temporary.replace(target)
    except OSError as error:
        _name(error, target)
        raise
    finally:
        temporary.unlink(missing_ok=True)


def write_json(target: Path, value: Any) -> None:
    """Write a value as an indented JSON file, in one step (see `atomic_file`)."""
    with atomic_file(target) as temporary:
        temporary.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")


def check_replaceable(target: Path, holds: str | None) -> None:
    """Raise OptionError unless `target` is absent, an empty folder, or a folder with the file `holds`.

    Call it before hours of work, so that no unrelated folder is replaced, or blocks the result at the end.
    """
    if not target.exists() or (target.is_dir() and not any(target.iterdir())):
        return
    if holds is None or not (target / holds).is_file():
        raise OptionError(f"{target}: already contains something else; choose another folder or remove it")


@contextmanager
def atomic_folder(target: Path, *, holds: str | None) -> Iterator[Path]:
    """Yield a temporary folder beside `target`; it becomes `target` when the block ends without an error.

    An existing folder at `target` is replaced only then, and only if it contains the file `holds`, by which
    it is of the same kind (see `check_replaceable`).
    """
    check_replaceable(target, holds)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{target.name}.", suffix=".partial", dir=target.parent))
    temporary.chmod(0o777 & ~_umask())
    try:
        yield temporary
        if target.exists():
            shutil.rmtree(target)
        temporary.rename(target)
    except OSError as error:
        _name(error, target)
        raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _name(error: OSError, target: Path) -> None:
    """Give an error of writing, such as that of a full disk, the path that was to be written."""
    if error.errno is not None and error.filename is None:
        error.filename = str(target)


def _umask() -> int:
    """The process's file mode creation mask; it can only be read by setting it."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
