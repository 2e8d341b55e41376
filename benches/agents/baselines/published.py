"""LAR as its authors published it: segments of words by empirical entropy, and a loss that teaches no latent.

Their code chooses word n-grams by frequency / (entropy + 1), where the entropy is that of the next word after
the n-gram in the corpus; it applies the divergence to the teacher on explicit positions alone, over base
logits, and no cross-entropy on latents. Here: n-grams of 2 to `LONGEST` words of the agent's text within a
message, each with the space before it, which occur at least twice. We chose the longest n-gram, and that a
latent is of two base tokens or more, since the paper is silent.
"""

from collections import Counter, defaultdict
from math import log

import numpy as np

import lar
from benches.agents.vocabularies import from_segments, may_be_latent

LONGEST = 8  # words

LOSS = {"loss": "paper", "unit_weight": 0.0}


def by_next_word(corpus: lar.Corpus, size: int) -> lar.LatentVocabulary:
    """The `size` n-grams with the best score, as latents."""
    texts = agent_texts(corpus)
    tokenizer = corpus.tokenizer
    segments: dict[tuple[int, ...], None] = {}
    for gram in ranked(texts):
        ids = tuple(tokenizer.encode(" " + " ".join(gram)).tolist())
        if len(ids) > 1 and may_be_latent(corpus, ids):
            segments[ids] = None
        if len(segments) == size:
            break
    return from_segments(corpus, segments, "next-word entropy")


def ranked(texts: list[list[str]]) -> list[tuple[str, ...]]:
    """The n-grams of at least two occurrences, the best score first, then by the alphabet."""
    counts: Counter[tuple[str, ...]] = Counter()
    following: defaultdict[tuple[str, ...], Counter[str]] = defaultdict(Counter)
    for words in texts:
        for length in range(2, LONGEST + 1):
            for start in range(len(words) - length + 1):
                gram = tuple(words[start : start + length])
                counts[gram] += 1
                if start + length < len(words):
                    following[gram][words[start + length]] += 1
    scores = {gram: count / (entropy(following[gram]) + 1) for gram, count in counts.items() if count > 1}
    return sorted(scores, key=lambda gram: (-scores[gram], gram))


def entropy(counts: Counter[str]) -> float:
    """The entropy in nats of a distribution given by counts; 0 for none."""
    total = counts.total()
    return -sum(count / total * log(count / total) for count in counts.values())


def agent_texts(corpus: lar.Corpus) -> list[list[str]]:
    """The words of each of the agent's turns."""
    texts = []
    for shard in corpus.shards():
        for first, last in zip(shard.offsets[:-1], shard.offsets[1:], strict=True):
            action = shard.action[first:last]
            edges = np.flatnonzero(np.diff(np.concatenate([[False], action, [False]]).astype(np.int8)))
            for start, end in edges.reshape(-1, 2).tolist():
                texts.append(corpus.tokenizer.decode(shard.tokens[first + start : first + end]).split())
    return texts
