"""The files that `lar run` was given, by which a run that goes on notices others."""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from lar.errors import LarError, OptionError
from lar.trajectories.inputs.files import STDIN, STDIN_NAME, Source, find_sources

# Of a file: its bytes, 0 where that is not known, and when it was written in nanoseconds, None for a URL.
Stamp = list[int | None]
Stamps = dict[str, Stamp]

_TOKENIZER = ("tokenizer", "chat_template", "special_tokens", "added_tokens", "vocab", "merges")
_WEIGHTS = ("config.json", "model.safetensors.index.json", "pytorch_model.bin.index.json")
_WEIGHT_ENDS = (".safetensors", ".bin")
# By the name of an input: the stages of which one, when it is done, has read it.
READ_BY = {"logs": ("import",), "tokenizer": ("corpus",), "model": ("score", "distill", "control")}
_THEY = {"logs": "they were", "tokenizer": "it was", "model": "it was"}


def fixed(name: Path | str) -> str:
    """A path as it is called from every working directory; a URL and standard input as they are."""
    text = str(name)
    return text if "://" in text or text in (*STDIN, STDIN_NAME) else os.path.abspath(text)  # noqa: PTH100


def stamps_of(logs: Iterable[Path | str], model: Path) -> dict[str, Stamps | None]:
    """By the name of an input: its files; None where they cannot be listed, which the stage reports."""
    try:
        of_logs = {fixed(source.full_name): _of_source(source) for source in find_sources(logs)}
    except (OSError, LarError):
        return {"logs": None, **_of_model(model)}
    return {"logs": of_logs, **_of_model(model)}


def check_same(
    output: Path,
    recorded: Mapping[str, Any],
    now: Mapping[str, Stamps | None],
    done: Iterable[str],
) -> dict[str, Any]:
    """The files to record for a run that goes on.

    Those of an input are compared after a stage in `done` has read it; before, they may change. A record of
    an earlier version has no files, and what cannot be listed any more is not compared.

    Raises:
        OptionError: files were added, changed or removed.
    """
    done, kept = set(done), dict(now)
    for name, found in now.items():
        before = recorded.get(name)
        if done.isdisjoint(READ_BY[name]) or not isinstance(before, dict):
            continue
        kept[name] = before
        if found is not None and (changes := _changes(before, found)):
            more = f" and {len(changes) - 1:,} more" if len(changes) > 1 else ""
            raise OptionError(
                f"{output}: the {name} changed since {_THEY[name]} read: {changes[0]}{more};"
                f" choose another -o, or remove {output} to start over"
            )
    return kept


def _changes(before: Stamps, now: Stamps) -> list[str]:
    """What is other than before, each in words; an earlier version has recorded relative paths."""
    before, now = ({fixed(name): stamp for name, stamp in stamps.items()} for stamps in (before, now))
    return [
        *(f"{name} is new" for name in now if name not in before),
        *(f"{name} has changed" for name in now if name in before and now[name] != before[name]),
        *(f"{name} is gone" for name in before if name not in now),
    ]


def _of_source(source: Source) -> Stamp:
    """The size and time of a log; of a folder that is one log, those of all its files."""
    if not isinstance(source.path, Path) or source.path.is_fifo():
        return [source.size, None]
    path = source.path
    files = [file for file in path.rglob("*") if file.is_file()] if path.is_dir() else [path]
    stats = [file.stat() for file in files]
    return [sum(one.st_size for one in stats), max((one.st_mtime_ns for one in stats), default=None)]


def _of_model(model: Path) -> dict[str, Stamps | None]:
    """The files of the tokenizer and of the weights in a model's folder."""
    found: dict[str, Stamps | None] = {"tokenizer": {}, "model": {}}
    for file in sorted(model.iterdir()) if model.is_dir() else ():
        name = file.name
        is_weights = name in _WEIGHTS or name.endswith(_WEIGHT_ENDS)
        kind = "model" if is_weights else "tokenizer" if name.startswith(_TOKENIZER) else None
        if kind is not None and file.is_file():
            stamps = found[kind]
            assert stamps is not None
            stat = file.stat()
            stamps[fixed(file)] = [stat.st_size, stat.st_mtime_ns]
    return found
