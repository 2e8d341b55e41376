"""The backend of one machine, and how a shard is folded on any."""

import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from lar import _core
from lar.corpus import Corpus, Shard
from lar.corpus.backend import map_shards
from lar.corpus.encoding import Encoded, local_encode
from lar.corpus.turns import newly_read
from lar.errors import CorpusError, OptionError
from lar.tokenizer.tokenizer import Tokenizer
from lar.trajectories.schema import Trajectory
from lar.utils.progress import Progress, silent

Result = TypeVar("Result")


class OneMachine:
    """The `Backend` that works in this process, on all cores (or RAYON_NUM_THREADS of them).

    memory: about how many bytes the runs of a corpus may take, however large it is. The rest goes to
        temporary files in TMPDIR, which should not be in memory itself: 4 bytes a distinct token, 24 a run
        and 4 for each of its tasks, twice while they are folded, and again for the runs behind a gate and
        those of prompts. What the search and the selection need comes on top, and so does the process itself.
        That is a few hundred MB, and 4 bytes for each task of each run that is searched, however many these
        are. A gate by n-gram entropies cuts each part by a model of that part. None: no bound.
    """

    def __init__(self, memory: int | None = None) -> None:
        """Raises OptionError where `memory` is no positive number of bytes."""
        if memory is not None and memory < 1:
            raise OptionError(f"memory must be a positive number of bytes, not {memory}")
        self.memory = memory

    def encode(self, trajectories: Iterable[Trajectory], tokenizer: Tokenizer) -> Iterator[Encoded]:
        """See `Backend`."""
        return local_encode(None)(trajectories, tokenizer)

    def map_shards(
        self, function: Callable[[Shard], Result], corpus: Corpus, progress: Progress = silent
    ) -> Iterator[Result]:
        """See `Backend`."""
        return map_shards(function, corpus, None, progress)

    def score(
        self, corpus: Corpus, model: str | Path, *, overwrite: bool, progress: Progress, **options: Any
    ) -> Corpus:
        """See `Backend`."""
        from lar.scoring.score import score  # imports torch, which mining does not need

        return score(corpus, model, overwrite=overwrite, progress=progress, **options)

    def fold(
        self,
        corpus: Corpus,
        nats: float | None,
        progress: Progress = silent,
        *,
        prompt: bool = False,
    ) -> _core.Runs:
        """See `Backend`; raises OSError if runs cannot be spilled."""
        bound = None if self.memory is None else (self.memory, tempfile.gettempdir())
        folder = _core.RunFolder(corpus.tokenizer.barriers, bound)
        numbers = TaskNumbers()
        done = 0
        for shard in corpus.shards():
            add_shard(folder, shard, numbers.of(shard.tasks), nats, prompt=prompt)
            done += len(shard.tokens)
            progress(done, corpus.num_tokens)
        return folder.finish()


class TaskNumbers:
    """A number for each task, by first appearance: shards numbered by the same object can be merged."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def of(self, tasks: list[str]) -> NDArray[np.uint32]:
        """The number of each of `tasks` (m); uint32 (m)."""
        numbers = [self._numbers.setdefault(task, len(self._numbers)) for task in tasks]
        return np.array(numbers, dtype=np.uint32)


def add_shard(
    folder: _core.RunFolder,
    shard: Shard,
    tasks: NDArray[np.uint32],
    nats: float | None,
    *,
    prompt: bool = False,
) -> None:
    """Fold a shard of m trajectories, whose tasks have the numbers `tasks` (m), into `folder`.

    With `nats`, runs are cut before each token of a higher entropy. With `prompt`, the runs are those that
    the agent only reads, each once: `newly_read`.

    Raises:
        CorpusError: `nats` is given and the shard is not scored.
    """
    # Not as float16, to which a comparison would round `nats`.
    continues = None if nats is None else entropies_of(shard).astype(np.float32) <= nats
    chosen = shard.action
    if prompt:
        chosen = newly_read(shard.tokens, shard.action, shard.offsets, shard.continues)
    folder.add(shard.tokens, shard.offsets, chosen, tasks, continues)


def entropies_of(shard: Shard) -> NDArray[np.float16]:
    """The teacher's entropies of a shard of a scored corpus; float16 (n), nats.

    Raises:
        CorpusError: this shard has none.
    """
    if shard.entropy is None:
        raise CorpusError(f"{shard.path}: not scored, though other parts are; run lar score again")
    return shard.entropy
