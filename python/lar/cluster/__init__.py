"""The commands on a Ray cluster: corpus, score and mine over shards, with the results of one machine.

    with connect() as cluster:
        corpus = Corpus.build(trajectories, tokenizer, "/shared/corpus", encode=cluster.encode)
        corpus = cluster.score(corpus, "/shared/Qwen3-8B")
        vocabulary = mine(corpus, backend=cluster)

All nodes have this package and see the corpus, and for scoring the model's folder, at the same paths. Nothing
is written but by the calling process. What a lost worker or node was doing is done again by another, as
often as Ray is told to (RAY_TASK_MAX_RETRIES, by default three times a task).
"""

from lar.errors import MissingExtraError

try:
    import ray  # noqa: F401 (the first import of this package: without Ray nothing of it can be had)
except ModuleNotFoundError:
    raise MissingExtraError("a cluster needs Ray: pip install 'lar[ray]'") from None

from lar.cluster.cluster import Cluster
from lar.cluster.session import connect

__all__ = ["Cluster", "connect"]
