"""Digests of tasks' names in a file, one a line: which tasks the result in that folder has seen."""

import hashlib
from collections.abc import Iterable
from pathlib import Path

# In the folder of a student, a control, an adapted teacher and an export, and in a corpus's `teacher/`.
TRAINED_FILE = "trained_tasks.txt"


def task_digest(task: str) -> str:
    """A short digest of a task's name: 16 hexadecimal digits of its SHA-256."""
    return hashlib.sha256(task.encode()).hexdigest()[:16]


def write_digests(file: Path, digests: Iterable[str]) -> None:
    """Write digests to a file, sorted."""
    file.write_text("".join(f"{digest}\n" for digest in sorted(digests)), encoding="ascii")


def read_digests(file: Path) -> frozenset[str]:
    """The digests in a file; none where there is no such file."""
    return frozenset(file.read_text(encoding="utf-8").split()) if file.is_file() else frozenset()
