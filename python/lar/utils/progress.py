"""How long-running functions tell how far they are, without knowing who listens."""

from typing import Protocol, runtime_checkable


class Progress(Protocol):
    """Called with the work done so far and the work in all (None where it is not known)."""

    def __call__(self, done: int, total: int | None) -> None:
        """Report `done` of `total`, in the caller's unit (bytes, trajectories, tokens or steps)."""


@runtime_checkable
class AnnotatedProgress(Progress, Protocol):
    """A listener that also takes a line about how the work goes, such as its speed."""

    def note(self, text: str) -> None:
        """Show `text` until the next one."""


def annotate(progress: Progress, text: str) -> None:
    """Tell a listener how the work goes, if it wants to know."""
    if isinstance(progress, AnnotatedProgress):
        progress.note(text)


def silent(done: int, total: int | None) -> None:
    """Report nothing: the default wherever a `Progress` is taken."""
