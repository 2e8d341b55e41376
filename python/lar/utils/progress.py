"""Progress of long-running functions, reported to a callback of the caller."""

from typing import Protocol, runtime_checkable


class Progress(Protocol):
    """A callable that takes the work done so far and the total work (None where that is unknown)."""

    def __call__(self, done: int, total: int | None) -> None:
        """Report `done` of `total`, in the caller's unit (bytes, trajectories, tokens or steps)."""


@runtime_checkable
class AnnotatedProgress(Progress, Protocol):
    """A `Progress` that also takes a line about the work, such as its speed."""

    def note(self, text: str) -> None:
        """Show `text` until the next call."""


def annotate(progress: Progress, text: str) -> None:
    """Pass `text` to `progress` if it takes such lines."""
    if isinstance(progress, AnnotatedProgress):
        progress.note(text)


def silent(done: int, total: int | None) -> None:
    """Ignore the progress: the default of parameters of type `Progress`."""
