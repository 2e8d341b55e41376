"""Where a stage does its work: on one machine or on a cluster.

Each stage over a corpus takes a `Backend` by the keyword `backend`; None is this process. The result is the
same on every backend, to the bit: shards are worked on apart or together, and what is summed over shards is
summed in their order. (One exception, n-gram entropies within a bound of memory: see `lar.mine`.)
`lar.mining.one_machine.OneMachine` and `lar.cluster.Cluster` are the two backends.
"""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from lar import _core
from lar.corpus.encoding import Encoded
from lar.corpus.shards import Shard
from lar.tokenizer.tokenizer import Tokenizer
from lar.trajectories.schema import Trajectory
from lar.utils.progress import Progress, silent

if TYPE_CHECKING:
    from lar.corpus.corpus import Corpus

Result = TypeVar("Result")


class Backend(Protocol):
    """What the stages leave to a machine or a cluster."""

    def encode(self, trajectories: Iterable[Trajectory], tokenizer: Tokenizer) -> Iterator[Encoded]:
        """Yield the encoding of each trajectory, in order."""

    def map_shards(
        self, function: Callable[[Shard], Result], corpus: "Corpus", progress: Progress = silent
    ) -> Iterator[Result]:
        """Yield `function` of each shard, in the order of the shards; `progress` counts tokens."""

    def score(
        self, corpus: "Corpus", model: str | Path, *, overwrite: bool, progress: Progress, **options: Any
    ) -> "Corpus":
        """Do what `lar.score` does, with the teacher in the folder `model` on each device.

        `options` are the other arguments of `lar.score`, all of them.
        """

    def fold(
        self,
        corpus: "Corpus",
        nats: float | None,
        progress: Progress = silent,
        *,
        prompt: bool = False,
    ) -> _core.Runs:
        """The distinct runs of the corpus; with `nats`, cut before each token of a higher entropy.

        `progress` counts tokens. With `prompt`, the runs are those that the agent only reads, instead of
        those that it writes; what several rows of a run repeat is there once.
        """


def map_shards(
    function: Callable[[Shard], Result],
    corpus: "Corpus",
    backend: Backend | None = None,
    progress: Progress = silent,
) -> Iterator[Result]:
    """Yield `function` of each shard, in order, on `backend` (None: this process)."""
    if backend is not None:
        yield from backend.map_shards(function, corpus, progress)
        return
    done = 0
    for shard in corpus.shards():
        yield function(shard)
        done += len(shard.tokens)
        progress(done, corpus.num_tokens)
