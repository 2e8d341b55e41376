"""A tokenizer with the latents, as files that transformers 4.57 to 5.23 and other engines read.

`lar.vocabulary.engine_tokenizer` makes the tokenizer.
"""

import shutil
from pathlib import Path
from typing import Any

import tokenizers

from lar.tokenizer.files import TEMPLATE_FILE, TEMPLATE_FOLDER, TOKENIZER_CONFIG_FILE, read_config
from lar.tokenizer.generation_prompt import agent_header, answer_openings, other_openings
from lar.tokenizer.location import TOKENIZER_FILE
from lar.tokenizer.tokenizer import Tokenizer
from lar.utils.files import write_json
from lar.vocabulary.vocabulary import LatentVocabulary

# Fields that transformers 5 writes for its own use; 4.57 ignores some and fails on others.
_PASSING = ("backend", "is_local", "local_files_only", "name_or_path", "processor_class", "tokenizer_file")
_SPECIAL_TOKENS_FILE = "special_tokens_map.json"


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
