"""Writing that never leaves half a file behind: a temporary name beside the target, then a rename."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lar.errors import OptionError


@contextmanager
def atomic_file(target: Path) -> Iterator[Path]:
    """Yield a temporary path beside `target`; rename it to `target` when the block ends without an error.

    The parent folder is made where it is missing. On any error the temporary file is removed and
    whatever stood at `target` before is untouched.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".partial", dir=target.parent)
    os.close(handle)
    temporary = Path(name)
    temporary.chmod(0o666 & ~_umask())  # mkstemp makes files that only their owner can read
    try:
        yield temporary
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def check_replaceable(target: Path, holds: str | None) -> None:
    """Raise OptionError unless `target` may be written: absent, an empty folder, or one with a file `holds`.

    Call it before hours of work, so that a folder of something else is neither lost nor found in the way.
    """
    if not target.exists() or (target.is_dir() and not any(target.iterdir())):
        return
    if holds is None or not (target / holds).is_file():
        raise OptionError(f"{target}: there is something else already; choose another folder or remove it")


@contextmanager
def atomic_folder(target: Path, *, holds: str | None) -> Iterator[Path]:
    """Yield a temporary folder beside `target`; it becomes `target` when the block ends without an error.

    An existing folder at `target` is replaced only then, and only where it has a file `holds`, which tells
    that it is of the same kind (see `check_replaceable`).
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
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _umask() -> int:
    """The process's file mode creation mask, which can only be read by setting it."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
