"""A piece's own clock: how much time is left, and training that stops before it is up."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from statistics import median
from threading import Timer
from time import perf_counter

RESERVE = 15.0  # seconds at the end in which nothing is begun


class TimeUpError(Exception):
    """The time of the piece is used up."""


class Clock:
    """Counts from its making to so many minutes."""

    def __init__(self, minutes: float) -> None:
        self.began = perf_counter()
        self.limit = 60 * minutes
        self.reserve = min(RESERVE, self.limit / 10)

    @property
    def seconds(self) -> float:
        """How long the piece has run."""
        return perf_counter() - self.began

    @property
    def left(self) -> float:
        """Seconds for work; negative when the reserve has begun."""
        return self.limit - self.reserve - self.seconds


@contextmanager
def ended_at_limit(clock: Clock, last: Callable[[], None]) -> Iterator[None]:
    """End the process at the clock's limit, after a call of `last`, whatever the block is doing.

    For what does not look at the clock itself, such as a scoring that is slower than expected.
    """

    def end() -> None:
        try:
            last()
        finally:
            sys.stdout.flush()
            os._exit(3)

    timer = Timer(max(0.0, clock.limit - clock.seconds), end)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


class Pace:
    """Progress of a training that notes when its steps end, and stops it when the clock says so.

    before, step, after: seconds from the making of this object to the end of the first step, of one step
    (median), and from the last step to `close`, which is one evaluation and the rest.
    """

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.began = perf_counter()
        self.ended: list[float] = []
        self.done, self.total = 0, 0
        self.after = 0.0

    def __call__(self, done: int, total: int | None) -> None:
        """Take note of a step; counts without a total are of preparations.

        Raises:
            TimeUpError: the time is up, which ends the training that reports here.
        """
        if total is not None:
            self.ended.append(perf_counter())
            self.done, self.total = done, total
        if self.clock.left < 0 and done != total:
            raise TimeUpError

    def close(self) -> None:
        """Note the end of the training."""
        self.after = perf_counter() - self.ended[-1]

    @property
    def before(self) -> float:
        """Seconds from the beginning to the end of the first step."""
        return self.ended[0] - self.began

    @property
    def step(self) -> float:
        """Median seconds of a step after the second, which still warms up."""
        times = self.ended[1:] if len(self.ended) > 3 else self.ended
        return median(b - a for a, b in pairwise(times)) if len(times) > 1 else 0.0
