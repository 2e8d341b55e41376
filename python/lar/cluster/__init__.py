"""The stages on a Ray cluster, with the results of one machine.

    with connect() as cluster:
        corpus = lar.Corpus.build(trajectories, tokenizer, "/shared/corpus", backend=cluster)
        corpus = lar.score(corpus, "/shared/Qwen3-8B", backend=cluster)
        vocabulary = lar.mine(corpus, backend=cluster)
        evaluation = lar.evaluate(other, vocabulary, backend=cluster)

All nodes have this package and see the corpus, and for scoring the model's folder, at the same paths. Only
the calling process writes. What a lost worker or node was doing is done again by another, as often as
RAY_TASK_MAX_RETRIES allows (by default three times a task).
"""

from lar.errors import MissingExtraError

try:
    import ray  # noqa: F401 (imported first: this package needs Ray)
except ModuleNotFoundError:
    raise MissingExtraError("a cluster needs Ray: pip install 'lar[ray]'") from None

from lar.cluster.cluster import Cluster
from lar.cluster.session import connect

__all__ = ["Cluster", "connect"]
