"""A session of many entries: one that is broken costs itself alone."""

from collections.abc import Iterable
from typing import Any

from lar.errors import TrajectoryError
from lar.trajectories.dialects.messages import normalize_message, normalize_messages
from lar.trajectories.dialects.responses import turns_of_items
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
            problems.append(f"message {number} of the session: {reason_of(error)}")
    return messages, problems


def readable_items(items: Iterable[dict[str, Any]]) -> tuple[list[dict[str, Any]], list[str]]:
    """The Responses items that can be read, and for each other what is wrong with it."""
    found: list[dict[str, Any]] = []
    problems: list[str] = []
    for item in items:
        try:
            turns_of_items([item])
        except MALFORMED as error:
            problems.append(f"an item of the session: {reason_of(error)}")
        else:
            found.append(item)
    return found, problems


def reason_of(error: Exception) -> str:
    """What is wrong with a malformed entry, in one line."""
    if isinstance(error, TrajectoryError):
        return str(error)
    return f"not well-formed ({type(error).__name__}: {error})"
