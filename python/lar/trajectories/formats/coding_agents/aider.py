"""Aider's `.aider.chat.history.md`: `#### ` is the user, `> ` the program, everything else the agent.

A file holds several sessions. Aider ends the lines of the user and the messages of the program with two
spaces, so a heading or a quotation in the agent's text is told from them. What the program printed before the
first request (its version, the model, the files) is left out, but for the model's name.
"""

import re
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any

from lar.trajectories.dialects.messages import normalize_messages
from lar.trajectories.draft import Draft
from lar.trajectories.formats.base import Format
from lar.trajectories.layouts.record import Record
from lar.trajectories.raw import has
from lar.trajectories.tasks import first_message_task

_START = re.compile(r"# aider chat started at (.+?)\s*$")
_END = "# aider chat started at -"  # stands behind the last session
_MODEL = re.compile(r"(?:Main model|Model|Models): (\S+)")
_MARKS = {"user": "#### ", "tool": "> "}
_ENDING = "  "  # what ends a line of the user's and a message of the program's


def looks_like_aider(head: str) -> bool:
    """Whether `head`, the start of a file, begins a session, or has lines of the user and of the program."""
    lines = head.split("\n")
    return any(map(_START.match, lines)) or (
        any(line.startswith("#### ") for line in lines)
        and any(line.startswith("> ") for line in lines)
        and head.lstrip()[:1] in ("#", ">")
        and not any(line.startswith(("# ", "## ", "### ")) for line in lines)
    )


def read_runs(lines: Iterable[str]) -> Iterator[Record]:
    """Yield a record `{aider_started, banner, messages}` for each session.

    A session without a request is part of the next one's banner.
    """
    session: list[str] = []
    number, first, started, idle = 0, 1, None, ""
    for line_number, line in enumerate(chain(lines, [_END]), start=1):
        start = _START.match(line)
        if start is None:
            session.append(line)
            continue
        value = _value(session, started)
        idle += value["banner"]
        if value["messages"]:
            number += 1
            yield Record({**value, "banner": idle}, number, first, started)
            idle = ""
        session, first, started = [], line_number, start[1]


def _value(lines: list[str], started: str | None) -> dict[str, Any]:
    turns = _turns(lines)
    begin = next((at for at, (role, _) in enumerate(turns) if role != "tool"), len(turns))
    messages = [{"role": role, "content": text} for role, text in turns[begin:]]
    banner = "".join(f"{text}\n" for _, text in turns[:begin])
    return {"aider_started": started, "banner": banner, "messages": messages}


def _turns(lines: list[str]) -> list[tuple[str, str]]:
    """Cut a session into turns, each with its text without the blank lines around it."""
    bare = [line.rstrip("\r\n") for line in lines]
    # An editor may have stripped the spaces; then a line's beginning has to do.
    ending = _ENDING if any(line.startswith("> ") and line.endswith(_ENDING) for line in bare) else ""
    turns: list[tuple[str, list[str]]] = []
    at = 0
    while at < len(bare):
        role, end = _piece(bare, at, ending)
        texts = bare[at:end]
        if role != "assistant":
            texts = [line.removesuffix(_ENDING) for line in (texts[0][len(_MARKS[role]) :], *texts[1:])]
        if turns and turns[-1][0] == role:
            turns[-1][1].extend(texts)
        elif role != "assistant" or texts[0]:
            turns.append((role, texts))
        at = end
    whole = ((role, "\n".join(texts).strip("\n")) for role, texts in turns)
    return [(role, text) for role, text in whole if text.strip()]


def _piece(lines: list[str], at: int, ending: str) -> tuple[str, int]:
    """Whose the line at `at` is, and where its piece ends: the program's messages may have several lines."""
    line = lines[at]
    if line.startswith(_MARKS["user"]) and line.endswith(ending):
        return "user", at + 1
    if line.startswith(_MARKS["tool"]):
        for end in range(at, len(lines)):
            if not lines[end].strip() or (end > at and lines[end].startswith(tuple(_MARKS.values()))):
                break
            if lines[end].endswith(ending):
                return "tool", end + 1
    return "assistant", at + 1


def _read(record: Record) -> list[Draft]:
    value = record.value
    models = _MODEL.findall(value["banner"])  # the last is this session's
    messages = normalize_messages(value["messages"])
    # A command to the program, such as `/add bay.py`, is no task.
    own = [item for item in messages if item["role"] == "user" and not item["content"].startswith(("/", "!"))]
    task = first_message_task(own) if own else None
    return [Draft(messages, task=task, model=models[-1] if models else None)]


FORMAT = Format("aider", "Aider's chat history", lambda value: has(value, "aider_started"), _read)
