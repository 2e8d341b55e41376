"""Vanilla: the agent writes no thoughts. Its runs keep their searches, calls, programs and answers alone."""

import re
from dataclasses import replace

from lar.trajectories import Message, Trajectory

_ACTION = re.compile(r"<(search|answer|execute)>.*?</\1>|^Action: [^\n]*$", re.DOTALL | re.MULTILINE)


def without_thoughts(run: Trajectory) -> Trajectory:
    """The run with each of the agent's turns cut down to its action.

    A turn without one of the worlds' actions stays as it is.
    """
    return replace(run, messages=[_action_of(message) for message in run.messages])


def _action_of(message: Message) -> Message:
    if message["role"] != "assistant":
        return message
    found = _ACTION.search(message["content"])
    return message if found is None else {**message, "content": found[0]}
