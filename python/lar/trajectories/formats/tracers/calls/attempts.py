"""Calls of one record that are read one by one: a broken one costs itself alone."""

from collections.abc import Callable
from typing import TypeVar

from lar.errors import TrajectoryError
from lar.trajectories.draft import Draft

_T = TypeVar("_T")
# What Python raises where a call lacks the shape of its format.
_MALFORMED = (KeyError, TypeError, ValueError, AttributeError, IndexError, RecursionError)


class Attempts:
    """Reads calls and collects what is wrong with those that cannot be read."""

    def __init__(self) -> None:
        self._problems: list[str] = []

    def read(self, place: str | None, call: _T, read: Callable[[_T], Draft | None]) -> Draft | None:
        """Return what `read` gives for `call`; None, and a problem that names the `place`, where it fails."""
        try:
            return read(call)
        except TrajectoryError as error:
            reason = str(error)
        except _MALFORMED as error:
            reason = f"not well-formed ({type(error).__name__}: {error})"
        self._problems.append(f"call {place}: {reason}")
        return None

    def reported(self, drafts: list[Draft]) -> list[Draft]:
        """Return the drafts of the record, the first of them with the problems of the record.

        Raises:
            TrajectoryError: there are problems and no draft.
        """
        if not drafts and self._problems:
            more = f" (and {len(self._problems) - 1} more)" if len(self._problems) > 1 else ""
            raise TrajectoryError(self._problems[0] + more)
        if drafts:
            drafts[0].problems += self._problems
        return drafts
