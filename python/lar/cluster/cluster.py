"""The backend that works on a Ray cluster."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from lar import _core
from lar.cluster import encoding, mining
from lar.corpus import Corpus, Shard
from lar.corpus.encoding import Encoded
from lar.errors import OptionError
from lar.tokenizer.tokenizer import Tokenizer
from lar.trajectories.schema import Trajectory
from lar.utils.progress import Progress, silent

Result = TypeVar("Result")


class Cluster:
    """The `lar.corpus.backend.Backend` of a Ray cluster; made by `connect`."""

    def encode(self, trajectories: Iterable[Trajectory], tokenizer: Tokenizer) -> Iterator[Encoded]:
        """Encode trajectories in tasks, in order; see `Backend`."""
        return encoding.encode(trajectories, tokenizer)

    def map_shards(
        self, function: Callable[[Shard], Result], corpus: Corpus, progress: Progress = silent
    ) -> Iterator[Result]:
        """Apply `function`, which can be pickled, in a task for each shard; see `Backend`."""
        return mining.map_shards(function, corpus, progress)

    def score(
        self, corpus: Corpus, model: str | Path, *, overwrite: bool, progress: Progress, **options: Any
    ) -> Corpus:
        """Score with a teacher on each GPU of the cluster, or on each node if it has no GPU; see `Backend`.

        Raises:
            OptionError: `model` is not a path. All nodes must be able to read that folder.
        """
        if not isinstance(model, str | Path):
            raise OptionError(
                f"on a cluster the teacher must be a folder that all nodes can read, not {type(model)}"
            )
        from lar.cluster import scoring  # imports torch, which no other task needs

        return scoring.score(corpus, str(model), options, overwrite=overwrite, progress=progress)

    def fold(
        self,
        corpus: Corpus,
        nats: float | None,
        progress: Progress = silent,
        *,
        prompt: bool = False,
    ) -> _core.Runs:
        """Fold the shards in tasks and merge them in tasks; see `Backend`."""
        return mining.fold(corpus, nats, progress, prompt=prompt)
