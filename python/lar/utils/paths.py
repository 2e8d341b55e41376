"""What is taken wherever a path is: a string, a `pathlib.Path`, or another `os.PathLike`."""

import os

StrPath = str | os.PathLike[str]


def printable(text: str) -> str:
    r"""The text in UTF-8: bytes of a file's name that are none become escapes, as Python names them.

    >>> printable("a\udcff.jsonl")
    'a\\udcff.jsonl'
    """
    return text.encode("utf-8", "backslashreplace").decode()
