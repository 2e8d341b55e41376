"""Work for several processes, with the results in the order of the tasks."""

import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from multiprocessing import get_context, parent_process
from multiprocessing.connection import wait
from typing import TypeVar

from lar.errors import LarError

Task = TypeVar("Task")
Result = TypeVar("Result")

_ALONE = 4  # small tasks that this process does before it starts others, which takes them a second


class WorkerError(LarError):
    """A process of a pool has died."""


def cores() -> int:
    """The number of cores that this process may use; the machine's if that is unknown."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def in_order(
    function: Callable[[Task], Result],
    tasks: Iterable[Task],
    workers: int,
    is_small: Callable[[Task], bool] = lambda _: True,
    goes_on_alone: Callable[[], bool] = lambda: False,
) -> Generator[Result, None, None]:
    """Yield `function(task)` for each task, in order; `workers` processes do the work unless it is little.

    This process does the first tasks, if they are small, and more for as long as `goes_on_alone` holds. At
    most two tasks for each process are in progress. After an error, or when the iterator is closed, no
    process is left; nor when this process dies.

    Raises:
        WorkerError: a process has died.
    """
    waiting = iter(tasks)
    for number, task in enumerate(waiting):
        if workers > 1 and ((number >= _ALONE and not goes_on_alone()) or not is_small(task)):
            first = [task, *islice(waiting, 2 * workers - 1)]
            yield from _in_processes(function, first, waiting, workers)
            return
        yield function(task)


def _in_processes(
    function: Callable[[Task], Result], first: list[Task], more: Iterator[Task], workers: int
) -> Generator[Result, None, None]:
    pool = ProcessPoolExecutor(workers, get_context("spawn"), _prepare)
    pending: deque[Future[Result]] = deque()
    try:
        pending.extend(pool.submit(function, task) for task in first)
        while pending:
            yield pending.popleft().result()
            pending.extend(pool.submit(function, task) for task in islice(more, 1))
    except BrokenProcessPool:
        raise WorkerError("a worker process has died, perhaps for want of memory: try --workers 1") from None
    finally:
        processes = list((pool._processes or {}).values())
        for future in pending:
            future.cancel()
        if pending:  # stopped: nobody wants what is in progress
            for process in processes:
                process.terminate()
        pool.shutdown(cancel_futures=True)


def _prepare() -> None:
    """In each process: leave Ctrl-C to the parent, and end when the parent is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()


def _end_with(sentinel: int) -> None:
    wait([sentinel])
    os._exit(1)
