"""Minings of one corpus and of its parts, several at a time; a part is measured on what it leaves out."""

import logging
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from threading import Event, Lock
from typing import Self

from lar.corpus import Corpus
from lar.evaluation.usage import Usage, usage
from lar.mining.engine_gates.static import parse_gates
from lar.mining.mine import mine_each
from lar.mining.options import MiningKeywords, MiningOptions
from lar.mining.selection import TextGates
from lar.utils.progress import Progress
from lar.vocabulary.latent import Latent

Job = tuple[Corpus, Corpus | None, Sequence[int], float | str | None]
"""What to mine, what to measure if anything, the sizes in ascending order, and the gate."""


@dataclass(frozen=True, slots=True)
class Mined:
    """A vocabulary's usage of what was measured, zero where nothing was, and its latents."""

    usage: Usage
    latents: tuple[Latent, ...]


class Minings:
    """Minings of one corpus, several at a time: each mostly runs outside the interpreter's lock."""

    def __init__(self, options: MiningKeywords, workers: int, progress: Progress, total: int) -> None:
        self._options = options
        self._static = TextGates(parse_gates(options.get("gates", MiningOptions.gates)))
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="lar-estimate")
        self._progress = progress
        self._total = total
        self._done = 0
        self._counting = Lock()
        self._stopped = Event()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()  # after an error or Ctrl-C the threads end with the size that they mine
        self._pool.shutdown(cancel_futures=True)

    def run(self, jobs: Sequence[Job]) -> list[tuple[Mined, ...]]:
        """What each job's sizes gave, in their order."""
        return list(self._pool.map(self._one, jobs))

    def _one(self, job: Job) -> tuple[Mined, ...]:
        train, held, sizes, gate = job
        options: MiningKeywords = {**self._options, "max_entropy": gate}
        found: list[Mined] = []
        # What nothing is measured on tells which size `mine` takes.
        exact = held is None
        for vocabulary in mine_each(train, sizes[::-1], exact=exact, static=self._static, **options):
            measured = Usage() if held is None else usage(held, vocabulary)
            found.append(Mined(measured, vocabulary.latents))
            self._count()
            if self._stopped.is_set():
                break
        return tuple(reversed(found))

    def _count(self) -> None:
        with self._counting:
            self._done += 1
            self._progress(self._done, self._total)


@contextmanager
def without_warnings() -> Iterator[None]:
    """Keep what each mining of a part warns of out of the log; what is true of all is warned of once."""

    def is_kept(record: logging.LogRecord) -> bool:
        return record.levelno != logging.WARNING

    with ExitStack() as stack:
        for name in ("lar.mining.mine", "lar.mining.entropy_gate"):
            logging.getLogger(name).addFilter(is_kept)
            stack.callback(logging.getLogger(name).removeFilter, is_kept)
        yield
