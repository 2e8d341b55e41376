"""The mean entropy of each latent over its uses: how surely the model could have predicted its text."""

from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from lar.corpus import Corpus, Shard
from lar.corpus.backend import Backend
from lar.mining.one_machine import entropies_of
from lar.utils.progress import Progress, annotate
from lar.vocabulary.vocabulary import LatentVocabulary


def has_entropies(corpus: Corpus) -> bool:
    """Whether a teacher's entropies of the corpus are there."""
    return corpus.teacher is not None and corpus.is_scored


def with_entropies(
    vocabulary: LatentVocabulary, corpus: Corpus, backend: Backend, progress: Progress
) -> LatentVocabulary:
    """The vocabulary with each latent's mean entropy over its uses, where the corpus has a teacher's."""
    if not has_entropies(corpus) or vocabulary.size == 0:
        return vocabulary
    annotate(progress, "entropies of the latents")
    sums = np.zeros(vocabulary.size)
    numbers = np.zeros(vocabulary.size)
    for of_shard in backend.map_shards(partial(entropy_sums, vocabulary), corpus, progress):
        sums += of_shard[0]
        numbers += of_shard[1]
    means = (sums / np.maximum(numbers, 1)).tolist()
    latents_with = tuple(
        replace(latent, mean_entropy=round(mean, 4)) if number else latent
        for latent, mean, number in zip(vocabulary.latents, means, numbers.tolist(), strict=True)
    )
    return replace(vocabulary, latents=latents_with)


def entropy_sums(
    vocabulary: LatentVocabulary, shard: Shard
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """For each of k latents the sum of the entropies within its uses, and their number; float64 (k) each.

    Where a sample of the tasks is scored, other uses have no entropies, and are not counted.
    """
    form = vocabulary.reparameterize(shard.tokens, shard.action, shard.offsets)
    entropies = entropies_of(shard).astype(np.float64)
    # Only a unit's second and later tokens are predicted within the unit.
    entropies[form.starts[:-1]] = np.nan
    used = form.action & (form.units >= vocabulary.base_size)
    latents = form.units[used] - vocabulary.base_size
    totals = np.add.reduceat(np.nan_to_num(entropies, nan=0.0), form.starts[:-1])[used]
    continued = np.add.reduceat(~np.isnan(entropies), form.starts[:-1], dtype=np.int64)[used]
    sums = np.bincount(latents, weights=totals, minlength=vocabulary.size)
    numbers = np.bincount(latents, weights=continued, minlength=vocabulary.size)
    return sums.astype(np.float64), numbers.astype(np.float64)
