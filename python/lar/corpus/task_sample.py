"""A sample of a corpus's tasks, the same for all stages: its first tasks, by the hashes of their names.

So a smaller sample lies within a larger one, and neither depends on the order of the logs.
"""

from collections import Counter
from collections.abc import Mapping

from lar.corpus.corpus import Corpus
from lar.corpus.selection import SAMPLE_SEED, InSample, place_of

# Tasks that a sample has, however long they are: five splits need some on both sides.
FEWEST = 20


def sampled(corpus: Corpus, most_tokens: int) -> Corpus:
    """The corpus, or its first tasks that have at most `most_tokens` tokens (`FEWEST` tasks at least)."""
    share = sample_share(corpus, most_tokens)
    return corpus if share == 1 else corpus.select(InSample(share))


def sample_share(corpus: Corpus, most_tokens: int) -> float:
    """The place (0 to 1, see `place_of`) of the first task that such a sample leaves out; 1.0: it has all."""
    if corpus.num_tokens <= most_tokens:
        return 1.0
    left_out = _first_left_out(tokens_by_task(corpus), most_tokens)
    return 1.0 if left_out is None else left_out


def tokens_by_task(corpus: Corpus) -> Counter[str]:
    """The tokens of each task, prompts included."""
    found: Counter[str] = Counter()
    for shard in corpus.shards():
        for task, start, end in zip(shard.tasks, shard.offsets[:-1], shard.offsets[1:], strict=True):
            found[task] += int(end - start)
    return found


def _first_left_out(sizes: Mapping[str, int], most: int) -> float | None:
    """The place of the first task that a sample of at most `most` leaves out; None if it takes all."""
    total = 0
    ordered = sorted((place_of(task, SAMPLE_SEED), size) for task, size in sizes.items())
    for number, (place, size) in enumerate(ordered):
        total += size
        if total > most and number >= FEWEST:
            return place
    return None
