"""The formats that can be read, one module for each family.

A format recognises a record by its content and reads it into a `Draft`. The order of `_ALL` matters: the
first format that recognises a record reads it, so formats with more required keys come first.
"""

from dataclasses import replace
from typing import Any

from lar.errors import OptionError
from lar.trajectories.formats import (
    bfcl,
    chat,
    fireact,
    intercode,
    knowagent,
    message_lines,
    react,
    sharegpt,
    swe_agent,
    tau,
    toolbench,
)
from lar.trajectories.formats.base import Format, TextFormat
from lar.trajectories.json_stream import Record

_ALL = (
    react.FORMAT,
    tau.TAU_BENCH,
    tau.TAU2,
    swe_agent.SWE_AGENT,
    swe_agent.MINI_SWE_AGENT,
    intercode.FORMAT,
    knowagent.FORMAT,
    fireact.FORMAT,
    toolbench.FORMAT,
    bfcl.FORMAT,
    sharegpt.FORMAT,
    chat.FORMAT,
    message_lines.FORMAT,
)
_RECORDS = tuple(format_ for format_ in _ALL if not format_.whole_file)
_WHOLE_FILES = tuple(format_ for format_ in _ALL if format_.whole_file)
HEAD_ENTRIES = 20  # entries of a file by which a format of whole files is recognised
TEXT_FORMATS = (TextFormat(react.looks_like_react, react.read_runs),)
FORMATS: dict[str, Format] = {format_.name: format_ for format_ in _ALL}


def get_format(name: str) -> Format | None:
    """Return the format called `name`, None for "auto"; raises OptionError for an unknown name."""
    if name != "auto" and name not in FORMATS:
        raise OptionError(f"unknown format {name!r}; known: auto, {', '.join(FORMATS)}")
    return FORMATS.get(name)


def recognise(value: Any) -> Format | None:
    """Return the first format that recognises the record `value`, or None."""
    return next((format_ for format_ in _RECORDS if format_.recognises(value)), None)


def recognise_record(record: Record, forced: Format | None) -> Record:
    """The record with its format: `forced`, or the first that recognises it; None where none does."""
    value = record.value
    if forced is None and (messages := chat.plain(value)) is not None:
        return Record(
            value, record.number, record.line, record.key, record.context, False, chat.FORMAT, messages
        )
    format_ = recognise(value) if forced is None else forced if forced.recognises(value) else None
    return record if format_ is None else replace(record, format=format_)


def recognise_entries(entries: list[Any]) -> Format | None:
    """Return the first format of whole files that recognises one of the first `entries`, or None."""
    head = entries[:HEAD_ENTRIES]
    return next((format_ for format_ in _WHOLE_FILES if any(map(format_.recognises, head))), None)


def known_formats() -> str:
    """The names of the formats that can be read, in one line."""
    return ", ".join(format_.name for format_ in _ALL)
