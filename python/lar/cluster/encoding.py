"""Trajectories -> token ids on a cluster: this process reads and writes, tasks render and encode."""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import ray

from lar.cluster.tasks import number_of_cores, on_one_core, result, shared
from lar.corpus.encoding import Encoded, chunks_of, encode_chunk
from lar.tokenizer.tokenizer import Tokenizer
from lar.trajectories.schema import Trajectory

# Chunks under way for each core: one is encoded while the next is on its way.
_CHUNKS_A_CORE = 2


def encode(trajectories: Iterable[Trajectory], tokenizer: Tokenizer) -> Iterator[Encoded]:
    """Encode `trajectories` in tasks, in order; see `lar.corpus.encoding.encode_all`."""
    submit = on_one_core(encode_with)
    reference = _Reference(shared(tokenizer))
    most = _CHUNKS_A_CORE * number_of_cores()
    pending: deque[Any] = deque()
    for chunk in chunks_of(trajectories):
        pending.append(submit(chunk, reference))
        if len(pending) > most:
            yield from result(pending.popleft())
    while pending:
        yield from result(pending.popleft())


@dataclass(frozen=True)
class _Reference:
    """Hides a reference from Ray, which would fetch its value for every task; a process fetches it once."""

    to_tokenizer: Any


def encode_with(chunk: Sequence[Trajectory], tokenizer: _Reference) -> list[Encoded]:
    """The task: one group of trajectories."""
    return encode_chunk(chunk, _fetch(tokenizer))


@lru_cache(maxsize=1)
def _fetch(tokenizer: _Reference) -> Tokenizer:
    fetched: Tokenizer = ray.get(tokenizer.to_tokenizer)
    return fetched
