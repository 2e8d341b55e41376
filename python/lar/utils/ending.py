"""The end that a signal asks for: at once, or after a step whose result can be kept.

Only the command line listens to signals (`lar.cli.interrupt`). In a program of a user's own they do what that
program has decided.
"""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from threading import current_thread, main_thread
from typing import Any

from lar.utils.processes import count


class Stopped(BaseException):
    """A signal has ended the work. `kept` are words about what is kept of it, to go on from; perhaps none."""

    def __init__(self, number: int, kept: str = "") -> None:
        super().__init__(number, kept)
        self.number = number
        self.kept = kept


class _Request:
    """Whether the work ends by itself after a step, and the signal that has asked for that, or 0."""

    listens = False
    waits = False
    number = 0


_REQUEST = _Request()


def listen() -> None:
    """Let Ctrl-C ask too, in `finishing_steps`; SIGTERM is up to the handler that calls `ask`."""
    _REQUEST.listens = True


@contextmanager
def finishing_steps() -> Iterator[None]:
    """Within the block a signal stops nothing: the work looks at `asked` after each step, and ends itself.

    Ctrl-C is left as it is in several processes, because a launcher gives it to them twice.

    Raises:
        Stopped: a signal came, and the block ended without an error of its own.
    """
    _REQUEST.waits = True
    try:
        with _asking():
            yield
    finally:
        _REQUEST.waits, number, _REQUEST.number = False, _REQUEST.number, 0
    if number:
        raise Stopped(number)


@contextmanager
def _asking() -> Iterator[None]:
    """Within the block Ctrl-C asks; in the background it may be ignored, and it stays so."""
    before = signal.getsignal(signal.SIGINT)
    is_ours = before is signal.default_int_handler and current_thread() is main_thread()
    if not _REQUEST.listens or count() > 1 or not is_ours:
        yield
        return
    signal.signal(signal.SIGINT, _ask)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def finishes_steps() -> bool:
    """Whether the work ends by itself after its step, where a signal asks for that."""
    return _REQUEST.waits


def ask(number: int) -> bool:
    """Ask the work to end after its step, for the signal `number`; False if it does not look at that."""
    if _REQUEST.waits:
        _REQUEST.number = number
    return _REQUEST.waits


def _ask(number: int, _: Any) -> None:
    ask(number)


def asked() -> int:
    """The signal by which the work is asked to end after its step; 0 for none."""
    return _REQUEST.number
