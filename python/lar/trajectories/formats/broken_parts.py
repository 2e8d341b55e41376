"""Records of many parts (messages, items, calls, sessions): one that is broken costs itself alone."""

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from lar.errors import TrajectoryError
from lar.trajectories.dialects.messages import normalize_message, normalize_messages
from lar.trajectories.dialects.responses import turns_of_items
from lar.trajectories.draft import Draft
from lar.trajectories.schema import Message

# What Python raises where a part lacks the shape of its format; a TrajectoryError is a ValueError.
MALFORMED = (KeyError, TypeError, ValueError, AttributeError, IndexError, RecursionError)

_T = TypeVar("_T")
_R = TypeVar("_R")


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


class Attempts:
    """Reads parts and collects what is wrong with those that cannot be read; `part` is the word for one."""

    def __init__(self, part: str) -> None:
        self._part = part
        self._problems: list[str] = []

    def read(self, name: str | None, part: _T, read: Callable[[_T], _R]) -> _R | None:
        """Return what `read` gives for `part`; None, and a problem with its `name`, where it fails."""
        try:
            return read(part)
        except MALFORMED as error:
            self._problems.append(f"{self._part} {name or 'without a name'}: {reason_of(error)}")
            return None

    def reported(self, drafts: Iterable[Draft | None]) -> list[Draft]:
        """Return the drafts that there are of the record, the first with the problems of the record.

        Raises:
            TrajectoryError: there are problems and no draft.
        """
        found = [draft for draft in drafts if draft is not None]
        if not found and self._problems:
            more = f" (and {len(self._problems) - 1} more)" if len(self._problems) > 1 else ""
            raise TrajectoryError(self._problems[0] + more)
        if found:
            found[0].problems += self._problems
        return found
