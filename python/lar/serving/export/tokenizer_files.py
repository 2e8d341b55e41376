"""A tokenizer with the latents, as files that transformers 4.57 to 5.23 and other engines read.

There are two forms. As *added tokens*, whose content is the segment's text: any engine's tokenizer encodes
that text to the latent and decodes the latent to the text, so later turns and prompts shrink too. *Decode
only*: the segment is an entry of the model's vocabulary to which no merge leads. Then latents are decoded,
and every text is encoded as it was before.
"""

import json
import shutil
from pathlib import Path
from typing import Any

import tokenizers

from lar.errors import TokenizerError, VocabularyError
from lar.tokenizer.files import TEMPLATE_FILE, TEMPLATE_FOLDER, TOKENIZER_CONFIG_FILE, read_config
from lar.tokenizer.generation_prompt import agent_header, answer_openings, other_openings
from lar.tokenizer.location import TOKENIZER_FILE
from lar.tokenizer.token_bytes import token_of_text
from lar.tokenizer.tokenizer import Tokenizer
from lar.utils.files import write_json
from lar.vocabulary.latent import Latent
from lar.vocabulary.vocabulary import LatentVocabulary

# Fields that transformers 5 writes for its own use; 4.57 ignores some and fails on others.
_PASSING = ("backend", "is_local", "local_files_only", "name_or_path", "processor_class", "tokenizer_file")
_SPECIAL_TOKENS_FILE = "special_tokens_map.json"


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


def turn_ids(tokenizer: Tokenizer, first_latent: int) -> dict[str, list[int]]:
    """The ids that open turns, by an export's own tokenizer and template.

    agent_header: the ids that open the agent's turn; empty if no added token opens it. White space at the
    end is left out: with the text after it, it may be another token. other_openings: the added tokens that
    are written before the text of other speakers, and never before the agent's.
    """
    header: list[int] = tokenizer.encode(agent_header(tokenizer).rstrip()).tolist()
    barriers = {index for index in tokenizer.barriers.tolist() if index < first_latent}

    def added(text: str) -> set[int]:
        return barriers.intersection(tokenizer.encode(text).tolist())

    others = set().union(*map(added, other_openings(tokenizer)))
    own = set(header).union(*map(added, answer_openings(tokenizer)))
    return {
        "agent_header": header if header and header[0] in barriers else [],
        "other_openings": sorted(others - own),
    }


def write_tokenizer(
    backend: tokenizers.Tokenizer, source: Path, target: Path, chat_template: Path | None = None
) -> None:
    """Write `backend` into the folder `target`, with the configuration and templates of `source`'s tokenizer.

    `chat_template` replaces all templates.

    The files of slow tokenizers (vocab.json, merges.txt, tokenizer.model) are not copied: they have no
    latents, and a loader that falls back to them would silently lose the latents.
    """
    (target / TOKENIZER_FILE).write_text(backend.to_str(pretty=True), encoding="utf-8")
    config = _configuration(read_config(source / TOKENIZER_CONFIG_FILE), backend)
    if chat_template is not None:
        config.pop("chat_template", None)
    write_json(target / TOKENIZER_CONFIG_FILE, config)
    templates = chat_template or source / TEMPLATE_FILE
    for file, name in ((templates, TEMPLATE_FILE), (source / _SPECIAL_TOKENS_FILE, _SPECIAL_TOKENS_FILE)):
        if file.is_file():
            shutil.copyfile(file, target / name)
    if chat_template is None and (source / TEMPLATE_FOLDER).is_dir():
        shutil.copytree(source / TEMPLATE_FOLDER, target / TEMPLATE_FOLDER)


def source_folder(vocabulary: LatentVocabulary, model: Path, vocabulary_tokenizer: Path) -> Path:
    """The folder whose tokenizer files are copied: the model's, else the copy beside the vocabulary.

    Raises:
        VocabularyError: the model's tokenizer is not the vocabulary's.
    """
    if not (model / TOKENIZER_FILE).is_file():
        return vocabulary_tokenizer
    vocabulary.check_tokenizer(Tokenizer.load(model))
    return model


def _configuration(config: dict[str, Any], backend: tokenizers.Tokenizer) -> dict[str, Any]:
    """The content of tokenizer_config.json, so that every version finds every added token.

    If `added_tokens_decoder` exists, transformers 5 ignores other added tokens of tokenizer.json, so it must
    be complete. Version 5 writes `extra_special_tokens` as a list, on which 4.57 crashes, and a class name
    that 4.57 does not have; both versions read the older forms.
    """
    config = {key: value for key, value in config.items() if key not in _PASSING}
    # Also if the base's file has True: " ." would become "." within a latent's text.
    config["clean_up_tokenization_spaces"] = False
    if isinstance(config.get("extra_special_tokens"), list):
        config.setdefault("additional_special_tokens", config.pop("extra_special_tokens"))
    if config.get("tokenizer_class", "TokenizersBackend") == "TokenizersBackend":
        config["tokenizer_class"] = "PreTrainedTokenizerFast"
    added = backend.get_added_tokens_decoder()
    config["added_tokens_decoder"] = {str(index): _entry(token) for index, token in sorted(added.items())}
    return config


def _entry(token: tokenizers.AddedToken) -> dict[str, Any]:
    names = ("content", "lstrip", "normalized", "rstrip", "single_word", "special")
    return {name: getattr(token, name) for name in names}


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
    for index, (one, other) in enumerate(zip(before, after, strict=True)):
        if one.ids != other.ids:
            raise VocabularyError(
                f"latent {index} ({texts[index]!r}) would be encoded by this tokenizer, which encodes "
                "whole words of its vocabulary: export without --decode-only"
            )
