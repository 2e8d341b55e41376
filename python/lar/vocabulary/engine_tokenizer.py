"""A tokenizer with the latents, in the two forms in which an engine can have it.

As *added tokens*, whose content is the segment's text: any engine's tokenizer encodes that text to the latent
and decodes the latent to the text, so later turns and prompts shrink too. *Decode only*: the segment is an
entry of the model's vocabulary to which no merge leads. Then latents are decoded, and every text is encoded
as it was before.
"""

import json

import tokenizers

from lar.errors import TokenizerError, VocabularyError
from lar.tokenizer.token_bytes import token_of_text
from lar.vocabulary.latent import Latent
from lar.vocabulary.vocabulary import LatentVocabulary


def exported_backend(vocabulary: LatentVocabulary) -> tokenizers.Tokenizer:
    """A copy of the vocabulary's tokenizer in which each latent is an added token: its segment's text.

    Raises:
        VocabularyError: a latent's text is already a token, so it would get that token's id.
    """
    _check_texts(vocabulary)
    backend = vocabulary.tokenizer.backend_with([latent.text for latent in vocabulary.latents])
    for index, latent in enumerate(vocabulary.latents):
        _check_id(index, latent, backend.token_to_id(latent.text))
    return backend


def decode_only_backend(vocabulary: LatentVocabulary) -> tokenizers.Tokenizer:
    """A copy of the vocabulary's tokenizer that decodes latents and encodes as before.

    Raises:
        VocabularyError: a latent's string is in the base vocabulary, or would be encoded to the latent.
        TokenizerError: the tokenizer is not a BPE with a supported decoder.
    """
    base = vocabulary.tokenizer.backend
    content = json.loads(base.to_str())
    _check_texts(vocabulary)
    vocab = content["model"].get("vocab")
    if content["model"]["type"] != "BPE" or not isinstance(vocab, dict):
        raise TokenizerError(f"a decode-only tokenizer needs a BPE, not {content['model']['type']}")
    # An added token that is not in the model's vocabulary gets the next id after it: put all of them there.
    for entry in content["added_tokens"]:
        vocab.setdefault(entry["content"], entry["id"])
    for index, latent in enumerate(vocabulary.latents):
        _check_id(index, latent, vocab.setdefault(token_of_text(base, latent.text), latent.id))
    backend = tokenizers.Tokenizer.from_str(json.dumps(content))
    _check_encodes_as(base, backend, vocabulary)
    return backend


def _check_texts(vocabulary: LatentVocabulary) -> None:
    """Raise VocabularyError if two latents have the same text, which can be the content of only one token."""
    known: dict[str, int] = {}
    for index, latent in enumerate(vocabulary.latents):
        if (other := known.setdefault(latent.text, index)) != index:
            raise VocabularyError(
                f"latents {other} and {index} have the same text ({latent.text!r}): "
                "mine with the engine gates"
            )


def _check_id(index: int, latent: Latent, found: int | None) -> None:
    if found != latent.id:
        raise VocabularyError(
            f"latent {index} ({latent.text!r}) cannot be token {latent.id}: "
            f"{'no engine can have it as a token' if found is None else f'it is already token {found}'}; "
            "mine with the engine gates"
        )


def _check_encodes_as(
    base: tokenizers.Tokenizer, changed: tokenizers.Tokenizer, vocabulary: LatentVocabulary
) -> None:
    """Raise VocabularyError if a BPE encodes latents, as whole words of its vocabulary (`ignore_merges`)."""
    texts = [latent.text for latent in vocabulary.latents]
    before = base.encode_batch(texts, add_special_tokens=False)
    after = changed.encode_batch(texts, add_special_tokens=False)
    pairs = enumerate(zip(before, after, strict=True))
    if encoded := [index for index, (one, other) in pairs if one.ids != other.ids]:
        raise VocabularyError(
            f"{len(encoded)} of {len(texts)} latents are whole words, such as latent {encoded[0]} "
            f"({texts[encoded[0]]!r}), which this tokenizer would encode (ignore_merges): distil and export "
            "without --decode-only"
        )
