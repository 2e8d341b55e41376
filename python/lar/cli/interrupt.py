"""Ctrl-C while compiled code runs: Python hears it only after the call, which may take minutes."""

import os
import signal
import socket
from threading import Thread

# Seconds that Python has to end by the first Ctrl-C before the user is told about the second.
_PATIENCE = 1.0


def watch_interrupts() -> None:
    """Let a second Ctrl-C end the process at once, whatever it is doing.

    Nothing is half written then: results get their names when they are complete, and spilled runs are in a
    file without a name.
    """
    hears, tells = socket.socketpair()
    tells.setblocking(False)
    signal.set_wakeup_fd(tells.fileno(), warn_on_full_buffer=False)
    Thread(target=_wait, args=(hears, tells), daemon=True).start()


def _wait(hears: socket.socket, _tells: socket.socket) -> None:
    """Wait for signals; both ends of the pair stay open as long as this thread lives."""
    _next_interrupt(hears)
    hears.settimeout(_PATIENCE)
    try:
        _next_interrupt(hears)
    except TimeoutError:
        os.write(2, b"lar: stopping after this step; press Ctrl-C again to stop at once\n")
        hears.settimeout(None)
        _next_interrupt(hears)
    os.write(2, b"lar: stopped\n")
    os._exit(130)


def _next_interrupt(hears: socket.socket) -> None:
    while hears.recv(1)[0] != signal.SIGINT:
        pass
