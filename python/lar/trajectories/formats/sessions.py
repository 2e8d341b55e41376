"""A session of many entries: one that is broken costs itself alone."""

from typing import Any

from lar.errors import TrajectoryError
from lar.trajectories.messages import normalize_message, normalize_messages
from lar.trajectories.schema import Message

# What the reading of a malformed message raises; a TrajectoryError is a ValueError.
MALFORMED = (KeyError, TypeError, ValueError, AttributeError, IndexError, RecursionError)


def readable_messages(raw: list[dict[str, Any]]) -> tuple[list[Message], list[str]]:
    """The normalized messages of a session, and for each that cannot be read what is wrong with it."""
    try:
        return normalize_messages(raw), []
    except MALFORMED:
        pass
    messages: list[Message] = []
    problems: list[str] = []
    for number, one in enumerate(raw, start=1):
        try:
            messages += normalize_message(one)
        except MALFORMED as error:
            problems.append(f"message {number} of the session: {reason(error)}")
    return messages, problems


def reason(error: Exception) -> str:
    """What is wrong with a malformed entry, in one line."""
    if isinstance(error, TrajectoryError):
        return str(error)
    return f"not well-formed ({type(error).__name__}: {error})"
