"""Digests of tasks' names in a file, one a line: which tasks the result in that folder has seen."""

import hashlib
import re
from collections.abc import Iterable
from pathlib import Path

from lar.errors import CorpusError
from lar.utils.files import atomic_file

# In the folder of a student, a control, an adapted teacher and an export, and in a corpus's `teacher/`.
TRAINED_FILE = "trained_tasks.txt"
_DIGEST = re.compile(rb"[0-9a-f]{16}")


def task_digest(task: str) -> str:
    """A short digest of a task's name: 16 hexadecimal digits of its SHA-256."""
    return hashlib.sha256(task.encode()).hexdigest()[:16]


def write_digests(file: Path, digests: Iterable[str]) -> None:
    """Write digests to a file, sorted, in one step."""
    with atomic_file(file) as temporary:
        temporary.write_text("".join(f"{digest}\n" for digest in sorted(digests)), encoding="ascii")


def read_digests(file: Path) -> frozenset[str]:
    """The digests in a file; none where there is no such file.

    Raises:
        CorpusError: the file holds something else, so nobody knows which tasks were seen.
    """
    lines = file.read_bytes().splitlines() if file.is_file() else []
    if not all(map(_DIGEST.fullmatch, lines)):
        raise CorpusError(f"{file}: not a list of digests of tasks, one of 16 hexadecimal digits a line")
    return frozenset(line.decode("ascii") for line in lines)
