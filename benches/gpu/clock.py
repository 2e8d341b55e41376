"""The clock of a piece: the time left, and training that stops before the time is up."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Timer
from time import perf_counter

from benches.training.row_start import RowStart

RESERVE = 15.0  # seconds at the end in which no work begins


class TimeUpError(Exception):
    """The time of the piece is used up."""


class Clock:
    """Counts down `minutes` from its construction."""

    def __init__(self, minutes: float) -> None:
        self.began = perf_counter()
        self.limit = 60 * minutes
        self.reserve = min(RESERVE, self.limit / 10)

    @property
    def seconds(self) -> float:
        """Seconds since the piece began."""
        return perf_counter() - self.began

    @property
    def left(self) -> float:
        """Seconds left for work; negative once the reserve has begun."""
        return self.limit - self.reserve - self.seconds


@contextmanager
def ended_at_limit(clock: Clock, last: Callable[[], None]) -> Iterator[None]:
    """End the process at the clock's limit, after a call of `last`, even while the block runs.

    For code that does not check the clock itself, such as a scoring that is slower than expected.
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


class Pace(RowStart):
    """Progress that records when the steps of a training end, and stops the training when time is up.

    before: seconds from construction to the end of the first step, of which `start_seconds` are of the start
    of the rows. step: mean seconds of a step. after: seconds from the last step to `close`, which include one
    evaluation.
    """

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self.clock = clock
        self.began = perf_counter()
        self.ended: list[float] = []
        self.done, self.total = 0, 0
        self.after = 0.0

    def __call__(self, done: int, total: int | None) -> None:
        """Record a step; calls without a total, and those of the start of the rows, report preparations.

        Raises:
            TimeUpError: the time is up. It ends the training.
        """
        is_step = total is not None and not self.is_starting
        if is_step:
            self.ended.append(perf_counter())
            self.done, self.total = done, total
        if self.clock.left < 0 and not (is_step and done == total):
            raise TimeUpError

    def close(self) -> None:
        """Record the end of the training."""
        self.after = perf_counter() - self.ended[-1]

    @property
    def before(self) -> float:
        """Seconds from the beginning to the end of the first step."""
        return self.ended[0] - self.began

    @property
    def step(self) -> float:
        """Mean seconds of a step, without the first two where there are more than three.

        No median: a GPU works behind its launches, and only a few steps wait for it.
        """
        times = self.ended[1:] if len(self.ended) > 3 else self.ended
        return (times[-1] - times[0]) / (len(times) - 1) if len(times) > 1 else 0.0
