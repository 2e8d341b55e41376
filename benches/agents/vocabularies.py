"""The vocabularies of the arms: `lar`'s own, and those of its baselines."""

import random
from collections.abc import Iterable, Sequence
from itertools import pairwise

import numpy as np

import lar
from benches.mining.peers import BpeMerges, agent_runs
from lar.corpus.seen_tasks import digests_of
from lar.mining.corpus_runs import frequencies
from lar.vocabulary.latent import Latent
from lar.vocabulary.segments import Segments


def bpe(corpus: lar.Corpus, size: int) -> lar.LatentVocabulary:
    """`size` byte-pair merges over the agent's base ids, each as a latent; see `benches.mining.peers`."""
    merges = BpeMerges.train(agent_runs(corpus), size).segments()
    return from_segments(corpus, merges, "BPE merges")


def random_for_mined(corpus: lar.Corpus, size: int) -> lar.LatentVocabulary:
    """Random segments with the lengths of the `size` latents that `lar.mine` takes."""
    return random_segments(corpus, lar.mine(corpus, size=size))


def random_segments(corpus: lar.Corpus, like: lar.LatentVocabulary, seed: int = 0) -> lar.LatentVocabulary:
    """Random segments of the agent's runs, distinct, with the lengths of the latents of `like`.

    Each is drawn at a random place of a random distinct run that is long enough.
    """
    tokens, offsets, *_ = agent_runs(corpus).to_arrays()
    draw = random.Random(seed)
    spans = sorted(pairwise(offsets.tolist()), key=lambda span: span[1] - span[0])
    lengths = [end - start for start, end in spans]
    found: dict[tuple[int, ...], None] = {}
    for latent in like:
        first = int(np.searchsorted(lengths, len(latent)))
        for _ in range(1000):
            start, end = spans[draw.randrange(first, len(spans))]
            place = draw.randrange(start, end - len(latent) + 1)
            segment = tuple(tokens[place : place + len(latent)].tolist())
            if segment not in found and may_be_latent(corpus, segment):
                found[segment] = None
                break
    return from_segments(corpus, list(found), "random segments")


def from_segments(corpus: lar.Corpus, segments: Iterable[Sequence[int]], name: str) -> lar.LatentVocabulary:
    """The segments as latents, in their order. Those that may be none are left out and counted.

    Their frequencies and the record are those that `lar.mine` gives its own.
    """
    chosen = [tuple(segment) for segment in segments]
    whole = [segment for segment in chosen if may_be_latent(corpus, segment)]
    segments = Segments.of(whole)
    runs = agent_runs(corpus)
    counts, supports = frequencies(runs, segments)
    uses = runs.count_uses(segments.tokens, segments.offsets)
    tokenizer = corpus.tokenizer
    texts = tokenizer.texts_within(segments.tokens, segments.offsets)
    latents = tuple(
        Latent(
            id=tokenizer.base_size + rank,
            tokens=segment,
            text=texts[rank],
            count=int(counts[rank]),
            support=int(supports[rank]),
            uses=int(uses[rank]),
        )
        for rank, segment in enumerate(whole)
    )
    record = {
        "size": len(chosen),
        "made_by": name,
        "unfit": len(chosen) - len(whole),
        "tasks": len(corpus.tasks),
        "action_tokens": corpus.num_action_tokens,
    }
    return lar.LatentVocabulary(latents, tokenizer, record, digests_of(corpus))


def may_be_latent(corpus: lar.Corpus, segment: Sequence[int]) -> bool:
    """Whether a segment cuts no character and holds no added token, as `LatentVocabulary.load` wants it."""
    if not set(segment).isdisjoint(corpus.tokenizer.barriers.tolist()):
        return False
    content, offsets = corpus.tokenizer.token_bytes()
    part = b"".join(content[offsets[token] : offsets[token + 1]].tobytes() for token in segment)
    try:
        part.decode()
    except UnicodeDecodeError:
        return False
    return True
