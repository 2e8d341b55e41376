"""Updated vocabularies: some latents kept at other ids, some retired, some new."""

from dataclasses import replace

from lar.corpus import Corpus
from lar.mining.mine import mine
from lar.vocabulary.latent import Latent
from lar.vocabulary.vocabulary import LatentVocabulary


def with_latents(vocabulary: LatentVocabulary, latents: list[Latent]) -> LatentVocabulary:
    """The vocabulary with these latents instead, numbered in their order."""
    base_size = vocabulary.base_size
    numbered = tuple(replace(latent, id=base_size + index) for index, latent in enumerate(latents))
    return replace(vocabulary, latents=numbered)


def updated(vocabulary: LatentVocabulary, corpus: Corpus, new: int = 6) -> LatentVocabulary:
    """Without the first three latents, the others in reverse, and `new` other latents of the corpus."""
    old = {latent.tokens for latent in vocabulary}
    others = [latent for latent in mine(corpus, size=4 * len(vocabulary)) if latent.tokens not in old][:new]
    kept = list(vocabulary.latents[3:])[::-1]
    return with_latents(vocabulary, [*others[:2], *kept, *others[2:]])
