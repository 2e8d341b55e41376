"""How long-running functions tell how far they are, without knowing who listens."""

from typing import Protocol


class Progress(Protocol):
    """Called with the work done so far and the work in all (None where it is not known)."""

    def __call__(self, done: int, total: int | None) -> None:
        """Report `done` of `total`, in the caller's unit (bytes, trajectories, tokens or steps)."""


def silent(done: int, total: int | None) -> None:
    """Report nothing: the default wherever a `Progress` is taken."""
