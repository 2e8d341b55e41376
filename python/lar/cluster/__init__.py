"""The stages on a Ray cluster, with the same results as on one machine.

    with connect() as cluster:
        corpus = lar.Corpus.build(trajectories, tokenizer, "/shared/corpus", backend=cluster)
        corpus = lar.score(corpus, "/shared/Qwen3-8B", backend=cluster)
        vocabulary = lar.mine(corpus, backend=cluster)
        evaluation = lar.evaluate(other, vocabulary, backend=cluster)

All nodes need this package, and the corpus at the same path; for scoring also the model's folder. Only the
calling process writes. The tasks of a lost worker or node are retried elsewhere, at most RAY_TASK_MAX_RETRIES
times each (three by default).
"""

from lar.errors import MissingExtraError
from lar.utils.extras import install_command

try:
    import ray  # noqa: F401 (imported first: this package needs Ray)
except ModuleNotFoundError:
    raise MissingExtraError(f"a cluster needs Ray: {install_command('ray')}") from None

from lar.cluster.cluster import Cluster
from lar.cluster.session import connect

__all__ = ["Cluster", "connect"]
