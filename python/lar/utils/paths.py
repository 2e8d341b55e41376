"""What is taken wherever a path is: a string, a `pathlib.Path`, or another `os.PathLike`."""

import os
from pathlib import Path

StrPath = str | os.PathLike[str]


def is_file(path: Path) -> bool:
    """Whether there is such a file; False also within a folder that may not be entered."""
    try:
        return path.is_file()
    except OSError:
        return False


def entries(folder: Path) -> list[Path]:
    """What lies in a folder, sorted; nothing of one that may not be listed."""
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def printable(text: str) -> str:
    r"""The text in UTF-8: bytes of a file's name that are none become escapes, as Python names them.

    >>> printable("a\udcff.jsonl")
    'a\\udcff.jsonl'
    """
    return text.encode("utf-8", "backslashreplace").decode()
