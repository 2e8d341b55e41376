"""A lock between threads that is free in a forked process."""

import os
from threading import Lock
from weakref import WeakSet


class ThreadLock:
    """A lock between the threads of one process, for `with`; a forked process has a new one.

    A fork copies a lock as it is, and of the threads only the one that forks. So the copy of a lock that
    another thread holds would never be released. What the lock guards must be of use at any time of a fork.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._held = self._lock  # by the thread that is in the block, also where that has forked
        _ALL.add(self)

    def __enter__(self) -> None:
        lock = self._lock
        lock.acquire()
        self._held = lock

    def __exit__(self, *_: object) -> None:
        self._held.release()


_ALL: WeakSet[ThreadLock] = WeakSet()


def _renew() -> None:
    for lock in _ALL:
        lock._lock = Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew)
