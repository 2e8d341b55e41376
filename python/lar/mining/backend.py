"""The work over a corpus's shards and runs, and doing it on one machine.

`mine` says what is to be done and leaves the doing to a `Backend`. Any backend gives the same result, to the
bit: shards are folded apart or together, and what is summed over shards is summed in their order.
"""

import tempfile
from collections.abc import Callable, Iterator
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from lar import _core
from lar.corpus import Corpus, Shard
from lar.errors import CorpusError, OptionError
from lar.utils.progress import Progress

Result = TypeVar("Result")


class Backend(Protocol):
    """Where the work is done."""

    def fold(
        self, corpus: Corpus, nats: float | None, progress: Progress, *, searched: bool = True
    ) -> _core.Runs:
        """The distinct runs of the corpus; with `nats`, cut before each token of a higher entropy.

        `progress` counts tokens. `searched`: candidates will be searched in them, so that too many runs for
        that are an OptionError at once; see `_core.RunFolder`.
        """

    def candidates(
        self, runs: _core.Runs, min_count: int, min_support: int, max_length: int, most: int
    ) -> _core.Candidates:
        """The `most` segments of the runs that save most; see `_core.Runs.candidates`."""

    def map_shards(self, function: Callable[[Shard], Result], corpus: Corpus) -> Iterator[Result]:
        """Yield `function` of each shard, in the order of the shards."""


class OneMachine:
    """Everything in this process, on all cores (or RAYON_NUM_THREADS of them).

    memory: bytes that folding may hold, about; what goes beyond is spilled to a temporary file (in TMPDIR,
        which should not lie in memory itself), so that the file system's room takes the place of memory.
        The bound is for the index of the runs while the corpus is read. It does not cover the distinct runs
        at the end, which candidates and selection need as a whole (about 4 bytes a token, 24 a run and 4 for
        each of its tasks, and several times that while the trie is grown), nor the process itself.
    """

    def __init__(self, memory: int | None = None) -> None:
        """Raises OptionError where `memory` is no positive number of bytes."""
        if memory is not None and memory < 1:
            raise OptionError(f"memory must be a positive number of bytes, not {memory}")
        self.memory = memory

    def fold(
        self, corpus: Corpus, nats: float | None, progress: Progress, *, searched: bool = True
    ) -> _core.Runs:
        """See `Backend`; raises OSError where runs have to be spilled and cannot be."""
        bound = None if self.memory is None else (self.memory, tempfile.gettempdir())
        folder = _core.RunFolder(corpus.tokenizer.barriers, bound, searched=searched)
        numbers = TaskNumbers()
        done = 0
        for shard in corpus.shards():
            add_shard(folder, shard, numbers.of(shard.tasks), nats)
            done += len(shard.tokens)
            progress(done, corpus.num_tokens)
        return folder.finish()

    def candidates(
        self, runs: _core.Runs, min_count: int, min_support: int, max_length: int, most: int
    ) -> _core.Candidates:
        """See `Backend`."""
        return runs.candidates(min_count, min_support, max_length, most)

    def map_shards(self, function: Callable[[Shard], Result], corpus: Corpus) -> Iterator[Result]:
        """See `Backend`."""
        return map(function, corpus.shards())


class TaskNumbers:
    """A number for each task, by first appearance: shards numbered by the same object can be merged."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def of(self, tasks: list[str]) -> NDArray[np.uint32]:
        """The number of each of `tasks` (m); uint32 (m)."""
        numbers = [self._numbers.setdefault(task, len(self._numbers)) for task in tasks]
        return np.array(numbers, dtype=np.uint32)


def add_shard(folder: _core.RunFolder, shard: Shard, tasks: NDArray[np.uint32], nats: float | None) -> None:
    """Fold a shard of m trajectories, whose tasks have the numbers `tasks` (m), into `folder`.

    With `nats`, runs are cut before each token of a higher entropy.

    Raises:
        CorpusError: `nats` is given and the shard is not scored.
    """
    continues = None if nats is None else entropies_of(shard) <= nats
    folder.add(shard.tokens, shard.offsets, shard.action, tasks, continues)


def entropies_of(shard: Shard) -> NDArray[np.float16]:
    """The teacher's entropies of a shard of a scored corpus; float16 (n), nats.

    Raises:
        CorpusError: this shard has none.
    """
    if shard.entropy is None:
        raise CorpusError(f"{shard.path}: not scored, though other parts are; run lar score again")
    return shard.entropy
