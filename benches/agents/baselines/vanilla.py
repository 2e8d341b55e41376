"""Vanilla: the agent writes no thoughts. Its runs keep their searches, calls, programs and answers alone."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace

from lar.trajectories import Message, Trajectory

_ACTION = re.compile(r"<(search|answer|execute)>.*?</\1>|^Action: [^\n]*$", re.DOTALL | re.MULTILINE)


def without_thoughts(runs: Iterable[Trajectory]) -> Iterator[Trajectory]:
    """The runs with each of the agent's turns cut down to its action.

    A turn without one of the worlds' actions stays as it is.
    """
    for run in runs:
        yield replace(run, messages=[_cut(message) for message in run.messages])


def action_of(content: str) -> re.Match[str] | None:
    """The first action in a turn's text."""
    return _ACTION.search(content)


def _cut(message: Message) -> Message:
    if message["role"] != "assistant":
        return message
    found = action_of(message["content"])
    return message if found is None else {**message, "content": found[0]}
