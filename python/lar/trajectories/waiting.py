"""Trajectories that wait in a temporary file until the end of the log."""

import marshal
import tempfile
from array import array
from typing import IO, Any, Protocol

from lar.trajectories.digests import Digests
from lar.trajectories.schema import Trajectory
from lar.utils.files import temporary_files


class Rows(Protocol):
    """Trajectories that wait, in an order."""

    def read(self, number: int) -> tuple[Trajectory, str]:
        """The trajectory with this number, counted from 0, and its place in the log."""

    def digests(self, number: int) -> Digests | None:
        """The digests of the trajectory with this number, if they wait beside it."""


class WaitingRows:
    """Trajectories in a temporary file, to be read by number."""

    def __init__(self) -> None:
        self._file: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 (closed by `close`)
        self._starts = array("q", [0])

    def close(self) -> None:
        """Remove the temporary file."""
        with temporary_files():  # what is not written yet is written now
            self._file.close()

    def add(self, trajectory: Trajectory, place: str) -> None:
        """Hold a trajectory; `place` is where it stands in the log."""
        # The fastest of all ways; it takes exact built-in types alone, as `exact` has made them.
        data = marshal.dumps({**trajectory.to_dict(), "place": place})
        with temporary_files():
            self._file.write(data)
        self._starts.append(self._starts[-1] + len(data))

    def read(self, number: int) -> tuple[Trajectory, str]:
        """The trajectory with this number, counted from 0, and its place in the log."""
        start, end = self._starts[number], self._starts[number + 1]
        with temporary_files():  # what was added is written before
            self._file.seek(start)
        fields: dict[str, Any] = marshal.loads(self._file.read(end - start))
        place = fields.pop("place")
        return Trajectory(**fields), place

    def digests(self, number: int) -> None:  # noqa: ARG002
        """None: no digests wait here."""
        return
