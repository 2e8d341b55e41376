"""Folders of this package's own results, which hold the logs once more: a walk for logs passes over them.

A run in a folder of its logs would double them. What `lar import` writes is a single file, a log like others.
"""

import json
from collections.abc import Iterable
from pathlib import Path

from lar.utils.paths import StrPath, entries
from lar.utils.result_files import (
    ADAPTATION_FILE,
    CORPUS_FILE,
    EXPORT_FILE,
    RUN_FILE,
    STUDENT_FILE,
    VOCABULARY_FILE,
)

# A file -> the keys of the object in it, and what a folder with such a file is. The names are generic: a file
# of another program may have them.
_MARKS: dict[str, tuple[set[str], str]] = {
    RUN_FILE: ({"logs", "model", "hold_out"}, "results of lar run"),
    CORPUS_FILE: ({"tokenizer_fingerprint", "parts"}, "a corpus of lar"),
    VOCABULARY_FILE: ({"tokenizer_fingerprint", "latents"}, "a vocabulary of lar"),
    STUDENT_FILE: ({"options", "base_fingerprint"}, "a student of lar"),
    ADAPTATION_FILE: ({"options", "merged"}, "a model of lar adapt"),
    EXPORT_FILE: ({"latents"}, "an export of lar"),
}


def kind_of_result(folder: Path, names: list[str]) -> str | None:
    """What result a folder with files of these names is; None for any other folder."""
    found = (_MARKS[name][1] for name in _MARKS if name in names and _has_keys(folder / name))
    return next(found, None)


def result_among(paths: Iterable[StrPath]) -> str:
    """The first of the paths that is the folder of a result, in words; empty without one."""
    for folder in map(Path, paths):
        if kind := kind_of_result(folder, [entry.name for entry in entries(folder)]):
            return f"{folder} is {kind}: give the logs, or what lar import wrote"
    return ""


def _has_keys(file: Path) -> bool:
    """Whether the file holds a JSON object with the keys of its name."""
    try:
        value = json.loads(file.read_bytes())
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(value, dict) and _MARKS[file.name][0] <= value.keys()
