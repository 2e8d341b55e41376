"""Signals that end a command: Ctrl-C, and SIGTERM of a scheduler, a container or `timeout`.

Python hears a signal only after a call into compiled code, which may take minutes.
"""

import os
import signal
import socket
from contextlib import suppress
from threading import Event, Thread
from typing import NoReturn

_ENDING = (signal.SIGINT, signal.SIGTERM)
# Seconds that Python has to end by the first Ctrl-C before the user is told about the second.
_PATIENCE = 1.0
# Seconds in which it has to hear SIGTERM; a container is killed after 10 or 30.
_GRACE = 5.0
# Seconds that it has then to remove its temporary files.
_REMOVAL = 60.0
_terminates = Event()


class Terminated(BaseException):
    """The system has asked the process to end (SIGTERM)."""


def watch_interrupts() -> None:
    """Let SIGTERM end a command as Ctrl-C does, so that its temporary files are removed.

    A second signal ends the process at once, whatever it is doing; so does SIGTERM if Python does not hear it
    soon. Nothing is half written then: results get their names when they are complete, and spilled runs are
    in a file without a name. Processes of a launcher may wait for one another, so SIGTERM ends them at once.
    """
    if os.environ.get("WORLD_SIZE", "1") == "1":
        signal.signal(signal.SIGTERM, _terminate)
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


def _terminate(*_: object) -> NoReturn:
    _terminates.set()
    raise Terminated


def _wait(hears: socket.socket, _tells: socket.socket) -> None:
    """Wait for signals; both ends of the pair stay open as long as this thread lives."""
    number = _next(hears)
    hears.settimeout(_PATIENCE if number == signal.SIGINT else _GRACE)
    try:
        number = _next(hears)
    except TimeoutError:
        if number == signal.SIGINT:
            os.write(2, b"lar: stopping after this step; press Ctrl-C again to stop at once\n")
            hears.settimeout(None)
            number = _next(hears)
        elif _terminates.is_set():
            hears.settimeout(_REMOVAL)
            with suppress(TimeoutError):
                number = _next(hears)
    os.write(2, b"lar: stopped\n")
    os._exit(128 + number)


def _next(hears: socket.socket) -> int:
    """The number of the next signal that ends a command."""
    while (number := hears.recv(1)[0]) not in _ENDING:
        pass
    return number
