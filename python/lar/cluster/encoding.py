"""Trajectories -> token ids on a cluster: this process reads and writes, tasks render and encode."""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from lar.cluster.tasks import Resident, number_of_cores, on_one_core, result
from lar.corpus.encoding import Encoded, chunks_of, encode_chunk
from lar.tokenizer.tokenizer import Tokenizer
from lar.trajectories.schema import Trajectory

# Chunks submitted for each core: one is encoded while the next is transferred.
_CHUNKS_A_CORE = 2


def encode(trajectories: Iterable[Trajectory], tokenizer: Tokenizer) -> Iterator[Encoded]:
    """Encode `trajectories` in tasks, in order; see `lar.corpus.encoding.encode_all`."""
    submit = on_one_core(encode_with)
    resident = Resident.of(tokenizer)
    most = _CHUNKS_A_CORE * number_of_cores()
    pending: deque[Any] = deque()
    for chunk in chunks_of(trajectories):
        pending.append(submit(chunk, resident))
        if len(pending) > most:
            yield from result(pending.popleft())
    while pending:
        yield from result(pending.popleft())


def encode_with(chunk: Sequence[Trajectory], tokenizer: Resident) -> list[Encoded]:
    """The task: one group of trajectories."""
    return encode_chunk(chunk, tokenizer.fetch())
