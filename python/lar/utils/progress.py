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


class Passes:
    """A progress over several named passes: it counts the work of all of them.

    A pass begins with a note, its name. `progress` gets the passes' number with the name, and their work
    against that of the `expected` number of passes; the total grows where there are more.
    """

    def __init__(self, progress: Progress, expected: int, work: int) -> None:
        """Take the usual number of passes, and the work of one."""
        self._progress = progress
        self._expected = expected
        self._begun = 0
        self._work = work

    def note(self, text: str) -> None:
        """Begin a pass; the one before is done."""
        self._begun += 1
        self._expected = max(self._expected, self._begun)
        annotate(self._progress, f"{text} ({self._begun} of {self._expected})")
        self(0, self._work)

    def __call__(self, done: int, total: int | None) -> None:
        """Report `done` of this pass's `total`."""
        if total is None:
            return
        self._work = total
        self._progress(max(self._begun - 1, 0) * total + done, self._expected * total)

    def end(self) -> None:
        """Report that all is done, perhaps in fewer passes than were expected. A later pass is one more."""
        self._begun = self._expected
        self._progress(self._expected * self._work, self._expected * self._work)
