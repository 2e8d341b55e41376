"""Folding on a cluster: shards are folded and merged in tasks.

Folding is associative: neighbours are merged, then neighbours of those. So the runs are in the order of their
first occurrence, as if one process had folded all shards.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from lar import _core
from lar.cluster.tasks import Resident, on_one_core, result
from lar.corpus import Corpus, Shard
from lar.corpus.shards import ShardFile
from lar.mining.one_machine import TaskNumbers, add_shard
from lar.utils.progress import Progress, silent

Result = TypeVar("Result")

# Parts that are merged by one task.
_MERGED_AT_ONCE = 8


def fold(
    corpus: Corpus,
    nats: float | None,
    progress: Progress = silent,
    *,
    prompt: bool = False,
) -> _core.Runs:
    """The distinct runs of the corpus; see `lar.corpus.backend.Backend.fold`."""
    barriers, numbers = corpus.tokenizer.barriers, TaskNumbers()
    submit = on_one_core(fold_shard, results=2)
    folded = [
        submit(file, numbers.of(file.tasks()), barriers, nats, prompt=prompt) for file in _files(corpus)
    ]
    done = 0
    for _, tokens in folded:  # a shard that cannot be folded raises here, before anything is merged
        done += result(tokens)
        progress(done, corpus.num_tokens)
    if not folded:
        return _core.RunFolder(barriers).finish()
    runs: _core.Runs = result(_merged([runs for runs, _ in folded], barriers))
    return runs


def fold_shard(
    file: ShardFile,
    tasks: NDArray[np.uint32],
    barriers: NDArray[np.uint32],
    nats: float | None,
    *,
    prompt: bool = False,
) -> tuple[_core.Runs, int]:
    """The task: runs and number of tokens of a shard; `tasks` are its selected trajectories' numbers."""
    folder, shard = _core.RunFolder(barriers), file.read()
    add_shard(folder, shard, tasks, nats, prompt=prompt)
    return folder.finish(), len(shard.tokens)


def _merged(parts: list[Any], barriers: NDArray[np.uint32]) -> Any:
    """A reference to all parts merged, in their order."""
    submit = on_one_core(merge)
    while len(parts) > 1:
        groups = [parts[at : at + _MERGED_AT_ONCE] for at in range(0, len(parts), _MERGED_AT_ONCE)]
        parts = [submit(barriers, *group) for group in groups]
    return parts[0]


def merge(barriers: NDArray[np.uint32], *parts: _core.Runs) -> _core.Runs:
    """The task: the merge of separately folded runs, the same as if they had been folded together."""
    folder = _core.RunFolder(barriers)
    for part in parts:
        folder.add_runs(part)
    return folder.finish()


def map_shards(
    function: Callable[[Shard], Result], corpus: Corpus, progress: Progress = silent
) -> Iterator[Result]:
    """Yield `function` of each shard, in order; see `lar.corpus.backend.Backend.map_shards`."""
    submit, resident = on_one_core(apply), Resident.of(function)
    done = 0
    for part in [submit(resident, file) for file in _files(corpus)]:
        found, tokens = result(part)
        yield found
        done += tokens
        progress(done, corpus.num_tokens)


def apply(function: Resident, file: ShardFile) -> tuple[Any, int]:
    """The task: a function of one shard, and the shard's number of tokens."""
    shard = file.read()
    return function.fetch()(shard), len(shard.tokens)


def _files(corpus: Corpus) -> Iterator[ShardFile]:
    """The shards of the corpus, by absolute paths."""
    for file in corpus.shard_files():
        yield replace(file, path=file.path.absolute())
