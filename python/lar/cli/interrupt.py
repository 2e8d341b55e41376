"""Signals that end a command: Ctrl-C, and SIGTERM of a scheduler, a container or `timeout`.

Python hears a signal only after a call into compiled code, which may take minutes.
"""

import os
import signal
import socket
from contextlib import suppress
from threading import Event, Thread
from time import monotonic
from typing import Any

from lar.utils import ending
from lar.utils.processes import count

_ENDING = (signal.SIGINT, signal.SIGTERM)
# Seconds that Python has to end by the first Ctrl-C before the user is told about the second.
_PATIENCE = 1.0
# Seconds in which it has to hear SIGTERM; a container is killed after 10 or 30.
_GRACE = 5.0
# Seconds that it has then to remove its temporary files.
_REMOVAL = 60.0
# Seconds in which SIGTERM after SIGTERM is the same one: `timeout` and launchers send it to a process, and to
# the group that it is in.
_REPEATED = 1.0
_terminates = Event()


def watch_interrupts() -> None:
    """Let SIGTERM end a command as Ctrl-C does, so that its temporary files are removed.

    A training ends after its step, with a checkpoint (`lar.utils.ending`). A second signal ends the process
    at once, whatever it is doing; so does SIGTERM if Python does not hear it soon. Nothing is half written
    then: results get their names when they are complete, and spilled runs are in a file without a name.

    Processes of a launcher may wait for one another, so SIGTERM ends them at once. Only their training ends
    after a step, which is the same in all of them.
    """
    signal.signal(signal.SIGTERM, _terminate)
    ending.listen()
    hears, tells = socket.socketpair()
    tells.setblocking(False)
    signal.set_wakeup_fd(tells.fileno(), warn_on_full_buffer=False)
    if hasattr(os, "register_at_fork"):
        # What a forked process hears would be told to the thread here: it hears nothing until it forgets.
        os.register_at_fork(before=_block, after_in_parent=_unblock, after_in_child=_forget)
    Thread(target=_wait, args=(hears, tells), daemon=True).start()


def _block() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)


def _unblock() -> None:
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDING)


def _forget() -> None:
    """Let signals end this forked process as they would without the thread."""
    signal.set_wakeup_fd(-1)
    if signal.getsignal(signal.SIGTERM) is _terminate:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
    _unblock()


def _terminate(number: int, *_: Any) -> None:
    if _terminates.is_set():  # the same one once more; after a second one the thread ends the process
        return
    if count() > 1 and not ending.finishes_steps():
        os._exit(128 + number)
    _terminates.set()
    if not ending.ask(number):
        raise ending.Stopped(number)


def _wait(hears: socket.socket, _tells: socket.socket) -> None:
    """Wait for signals; both ends of the pair stay open as long as this thread lives."""
    number = _next(hears)
    if number == signal.SIGINT:
        number = _after_interrupt(hears)
    elif count() == 1 or ending.finishes_steps():
        number = _after_termination(hears)
    os.write(2, b"lar: stopped\n")
    os._exit(128 + number)


def _after_interrupt(hears: socket.socket) -> int:
    """The signal that ends the process after a Ctrl-C."""
    try:
        return _next(hears, _PATIENCE)
    except TimeoutError:
        os.write(2, b"lar: stopping after this step; press Ctrl-C again to stop at once\n")
        return _next(hears)


def _after_termination(hears: socket.socket) -> int:
    """The signal that ends the process after a SIGTERM: a second one, or itself once its time is over."""
    with suppress(TimeoutError):
        return _next(hears, _GRACE, repeated=_REPEATED)
    if ending.finishes_steps():
        os.write(2, b"lar: stopping after this step; a second signal stops at once\n")
        return _next(hears)
    if _terminates.is_set():
        with suppress(TimeoutError):
            return _next(hears, _REMOVAL)
    return signal.SIGTERM


def _next(hears: socket.socket, seconds: float | None = None, repeated: float = 0.0) -> int:
    """The number of the next signal that ends a command; SIGTERM in the first `repeated` seconds is none.

    Raises:
        TimeoutError: there is none in so many seconds.
    """
    began = monotonic()
    while True:
        passed = monotonic() - began
        hears.settimeout(None if seconds is None else max(seconds - passed, 1e-3))
        number = hears.recv(1)[0]
        passed = monotonic() - began
        if number in _ENDING and not (number == signal.SIGTERM and passed < repeated):
            return number
