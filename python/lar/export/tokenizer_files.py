"""The tokenizer of an exported model: the base's, with each latent as an added token."""

import tokenizers

from lar.errors import VocabularyError
from lar.vocabulary import LatentVocabulary


def exported_backend(vocabulary: LatentVocabulary) -> tokenizers.Tokenizer:
    """The base tokenizer with each latent's text as an added token; latent i has the id `length` + i there.

    `length` is the base tokenizer's (`Tokenizer.length`): its largest id + 1, which may be less than the
    model's embedding rows.

    Raises:
        VocabularyError: a latent's text cannot be a token of its own.
    """
    backend = vocabulary.tokenizer.backend_with([latent.text for latent in vocabulary.latents])
    first = vocabulary.tokenizer.length
    for index, latent in enumerate(vocabulary.latents):
        found = backend.token_to_id(latent.text)
        if found != first + index:
            reason = "no engine can be told it" if found is None else f"it is token {found} already"
            raise VocabularyError(
                f"latent {latent.id}: {latent.text!r} cannot be token {first + index}: {reason}; "
                "mine with the engine gates"
            )
    return backend
