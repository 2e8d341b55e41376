"""Which tasks a view of a corpus holds: objects and no closures, so that views can be pickled."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

Keep = Callable[[str], bool]
"""Whether a task is selected."""


@dataclass(frozen=True)
class OnSide:
    """Whether a task falls on one side of a split: by its name and `seed` alone."""

    held_out: float
    seed: int
    is_held_out: bool

    def __call__(self, task: str) -> bool:
        """Whether `task` is selected."""
        return (_position(task, self.seed) < self.held_out) == self.is_held_out


@dataclass(frozen=True)
class Both:
    """Whether a task is in two selections."""

    first: Keep
    second: Keep

    def __call__(self, task: str) -> bool:
        """Whether `task` is selected."""
        return self.first(task) and self.second(task)


def _position(task: str, seed: int) -> float:
    """Return a number in [0, 1), the same everywhere and always for this task and seed."""
    first = hashlib.sha256(f"{seed}:{task}".encode()).digest()[:8]
    return int.from_bytes(first, "big") / 2**64
