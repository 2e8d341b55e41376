"""A cluster as the rest of the package sees it: what can be done on it."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

from lar import _core
from lar.cluster import encoding, mining
from lar.corpus import Corpus, Shard
from lar.corpus.encoding import Encoded
from lar.tokenizer.tokenizer import Tokenizer
from lar.trajectories.schema import Trajectory
from lar.utils.progress import Progress, silent

Result = TypeVar("Result")


class Cluster:
    """The cluster that this process is connected to; a `lar.mining.backend.Backend`. Made by `connect`."""

    def fold(
        self, corpus: Corpus, nats: float | None, progress: Progress, *, searched: bool = True
    ) -> _core.Runs:
        """Fold the shards in tasks and merge them in tasks; see `Backend`."""
        return mining.fold(corpus, nats, progress, searched=searched)

    def candidates(
        self, runs: _core.Runs, min_count: int, min_support: int, max_length: int, most: int
    ) -> _core.Candidates:
        """Grow the trie split by first token over the nodes; see `Backend`."""
        return mining.candidates(runs, (min_count, min_support, max_length, most))

    def map_shards(self, function: Callable[[Shard], Result], corpus: Corpus) -> Iterator[Result]:
        """Apply `function`, which can be pickled, in a task for each shard; see `Backend`."""
        return mining.map_shards(function, corpus)

    def encode(self, trajectories: Iterable[Trajectory], tokenizer: Tokenizer) -> Iterator[Encoded]:
        """Encode trajectories in tasks, in order: the `encode` of `Corpus.build`."""
        return encoding.encode(trajectories, tokenizer)

    def score(
        self,
        corpus: Corpus,
        model: str,
        *,
        batch_tokens: int | None = None,
        max_length: int | None = None,
        top_k: int | None = None,
        dtype: str = "auto",
        device: str | None = None,
        overwrite: bool = False,
        progress: Progress = silent,
    ) -> Corpus:
        """`lar.score` with a teacher on each GPU of the cluster, or on each node where it has none.

        `model` is a folder that all nodes see; the other arguments and errors are those of `lar.score`.
        """
        from lar.cluster import scoring  # takes torch, which no other task needs

        loading: dict[str, Any] = {
            "batch_tokens": batch_tokens,
            "max_length": max_length,
            "top_k": top_k,
            "dtype": dtype,
            "device": device,
        }
        return scoring.score(corpus, model, loading, overwrite=overwrite, progress=progress)
