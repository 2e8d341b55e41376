"""The formats that can be read, one module for each family.

A format recognises a record by its content and reads it into a `Draft`. The order of `_ALL` matters: the
first format that recognises a record reads it, so formats with more required keys come first.
"""

from typing import Any

from lar.errors import OptionError
from lar.trajectories.formats import (
    aider,
    bfcl,
    chat,
    cline,
    continue_dev,
    copilot,
    crush,
    cursor,
    fireact,
    gemini,
    gemini_cli,
    goose,
    grok,
    intercode,
    kimi,
    knowagent,
    message_lines,
    opencode,
    pi,
    react,
    sharegpt,
    stream_json,
    swe_agent,
    tau,
    toolbench,
)
from lar.trajectories.formats.base import Format, TextFormat

_CODING_AGENTS = (
    aider.FORMAT,
    gemini_cli.SESSION,
    gemini_cli.LINES,
    gemini_cli.QWEN,
    opencode.SESSION,
    opencode.ENTRIES,
    copilot.FORMAT,
    kimi.FORMAT,
    stream_json.FORMAT,
    grok.FORMAT,
    goose.SESSION,
    goose.LINES,
    pi.FORMAT,
    continue_dev.FORMAT,
    crush.FORMAT,
    cline.TASK,
    cline.SESSION,
    cline.SCREEN,
    cursor.FORMAT,
)
_ALL = (
    react.FORMAT,
    tau.TAU_BENCH,
    tau.TAU2,
    swe_agent.SWE_AGENT,
    swe_agent.MINI_SWE_AGENT,
    *_CODING_AGENTS,
    gemini.GEMINI,
    gemini.CONTENTS,
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
TEXT_FORMATS = (
    TextFormat(aider.looks_like_aider, aider.read_runs),
    TextFormat(react.looks_like_react, react.read_runs),
)
FORMATS: dict[str, Format] = {format_.name: format_ for format_ in _ALL}


def get_format(name: str) -> Format | None:
    """Return the format called `name`, None for "auto"; raises OptionError for an unknown name."""
    if name != "auto" and name not in FORMATS:
        raise OptionError(f"unknown format {name!r}; known: auto, {', '.join(FORMATS)}")
    return FORMATS.get(name)


def recognise(value: Any) -> Format | None:
    """Return the first format that recognises the record `value`, or None."""
    return next((format_ for format_ in _RECORDS if format_.recognises(value)), None)


def recognise_entries(entries: list[Any]) -> Format | None:
    """Return the first format of whole files that recognises one of the first `entries`, or None."""
    head = entries[:HEAD_ENTRIES]
    return next((format_ for format_ in _WHOLE_FILES if any(map(format_.recognises, head))), None)


def known_formats() -> str:
    """The names of the formats that can be read, in one line."""
    return ", ".join(format_.name for format_ in _ALL)
