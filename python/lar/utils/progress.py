"""Progress of long-running functions, reported to a callback of the caller."""

from typing import Protocol, runtime_checkable


class Progress(Protocol):
    """Called with the work done so far and the total work; the total is None while it is unknown."""

    def __call__(self, done: int, total: int | None) -> None:
        """Report `done` of `total`, in the caller's unit (bytes, trajectories, tokens or steps)."""


@runtime_checkable
class AnnotatedProgress(Progress, Protocol):
    """A callback that also takes a line about how the work goes, such as its speed."""

    def note(self, text: str) -> None:
        """Show `text` until the next one."""


def annotate(progress: Progress, text: str) -> None:
    """Pass `text` to a callback that takes notes."""
    if isinstance(progress, AnnotatedProgress):
        progress.note(text)


def silent(done: int, total: int | None) -> None:
    """Report nothing: the default wherever a `Progress` is taken."""
