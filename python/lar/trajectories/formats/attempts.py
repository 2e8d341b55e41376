"""Parts of one record that are read one by one (calls, sessions): a broken one costs itself alone."""

from collections.abc import Callable, Iterable
from typing import TypeVar

from lar.errors import TrajectoryError
from lar.trajectories.draft import Draft
from lar.trajectories.formats.sessions import MALFORMED, reason_of

_T = TypeVar("_T")
_R = TypeVar("_R")


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
