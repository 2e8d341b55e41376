"""A vocabulary's folder: `latent_vocabulary.json`, `mined_tasks.txt` and a copy of the tokenizer's files.

The second holds a digest of each task that the vocabulary was mined on, so that an evaluation can leave these
out. The first holds everything else. With the tokenizer's files, the folder can be used alone.
"""

# Not checked by pydantic: its import takes 70 ms, and most checks here are between values.

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from lar.errors import CorpusError, VocabularyError
from lar.tokenizer.tokenizer import Tokenizer
from lar.utils.files import atomic_folder, write_json
from lar.utils.result_files import VOCABULARY_FILE
from lar.utils.task_digests import read_digests, write_digests
from lar.vocabulary.latent import Latent
from lar.vocabulary.segments import Segments

FORMAT_VERSION = 2
TASKS_NAME = "mined_tasks.txt"
TOKENIZER_NAME = "tokenizer"


def write_folder(
    path: Path,
    tokenizer: Tokenizer,
    mining: dict[str, Any],
    latents: Sequence[Latent],
    mined_tasks: Iterable[str],
) -> None:
    """Write a vocabulary's folder; an older vocabulary there is replaced after all is written.

    Raises:
        OptionError: the folder is not empty and holds no vocabulary.
    """
    content = {
        "format_version": FORMAT_VERSION,
        "tokenizer_fingerprint": tokenizer.fingerprint,
        "base_size": tokenizer.base_size,
        "mining": mining,
        "latents": [asdict(latent) for latent in latents],
    }
    with atomic_folder(path, holds=VOCABULARY_FILE) as folder:
        write_json(folder / VOCABULARY_FILE, content)
        write_digests(folder / TASKS_NAME, mined_tasks)
        tokenizer.save(folder / TOKENIZER_NAME)


class Stored(NamedTuple):
    """The contents of a vocabulary's folder, in the order of `LatentVocabulary`'s fields."""

    latents: tuple[Latent, ...]
    tokenizer: Tokenizer
    mining: dict[str, Any]
    mined_tasks: frozenset[str]


def read_folder(folder: Path) -> Stored:
    """The contents of a vocabulary's folder, checked.

    In version 1, latents had the ids after the model's embedding rows. They get the ids after the
    tokenizer's.

    Raises:
        FileNotFoundError: the folder or one of its files is missing.
        VocabularyError: its content is wrong; the message names the place.
    """
    file = folder / VOCABULARY_FILE
    content = _read_json(file)
    tokenizer = Tokenizer.load(folder / TOKENIZER_NAME)
    if content["tokenizer_fingerprint"] != tokenizer.fingerprint:
        raise VocabularyError(f"{file}: mined with another tokenizer than the one beside it")
    stored, base_size = content["base_size"], tokenizer.base_size
    if content["format_version"] == FORMAT_VERSION and stored != base_size:
        raise VocabularyError(f"{file}: 'base_size' is {stored}, the tokenizer beside it has {base_size} ids")
    read = [_read_latent(entry, index, stored, file) for index, entry in enumerate(content["latents"])]
    latents = [replace(latent, id=base_size + index) for index, latent in enumerate(read)]
    try:
        mined_tasks = read_digests(folder / TASKS_NAME)
    except CorpusError as error:
        raise VocabularyError(str(error)) from None
    return Stored(tuple(latents), tokenizer, content["mining"], mined_tasks)


def _read_json(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise FileNotFoundError(f"{file.parent}: no vocabulary (no {file.name})") from None
    except (ValueError, RecursionError) as error:
        raise VocabularyError(f"{file}: not valid JSON: {error}") from error
    if not isinstance(content, dict) or content.get("format_version") not in (1, FORMAT_VERSION):
        raise VocabularyError(f"{file}: not a latent vocabulary of format version 1 or {FORMAT_VERSION}")
    kinds = {"tokenizer_fingerprint": str, "base_size": int, "mining": dict, "latents": list}
    for name, kind in kinds.items():
        if not isinstance(content.get(name), kind):
            raise VocabularyError(f"{file}: {name!r} is missing or no {kind.__name__}")
    base_size = content["base_size"]
    if isinstance(base_size, bool) or not 0 <= base_size < np.iinfo(np.uint32).max:
        raise VocabularyError(f"{file}: 'base_size' is {base_size}, which is no number of 32-bit ids")
    return content


def _read_latent(entry: Any, index: int, base_size: int, file: Path) -> Latent:
    place = f"{file}: latent {index}"
    try:
        latent = Latent(**{**entry, "tokens": tuple(entry["tokens"])})
    except (TypeError, KeyError) as error:
        raise VocabularyError(f"{place} is malformed: {error}") from error
    if latent.id != base_size + index:
        raise VocabularyError(f"{place} has id {latent.id}, expected {base_size + index}")
    if not all(_is_count(token) and token < base_size for token in latent.tokens):
        raise VocabularyError(f"{place} holds a token outside the {base_size} base ids")
    if not all(map(_is_count, (latent.id, latent.count, latent.support, latent.uses, latent.prompt_uses))):
        raise VocabularyError(f"{place} has a frequency that is not a count")
    if not isinstance(latent.text, str):
        raise VocabularyError(f"{place} has no text")
    if not isinstance(latent.mean_entropy, float | int | None) or isinstance(latent.mean_entropy, bool):
        raise VocabularyError(f"{place} has a mean entropy that is not a number")
    return latent


def check_texts(latents: Sequence[Latent], tokenizer: Tokenizer, file: Path) -> None:
    """Raise VocabularyError if a latent's text, to which an export decodes it, is not that of its tokens.

    Nor may it hold an added token: an engine would find the latent instead, and never the end of a turn.
    """
    barriers = frozenset(tokenizer.barriers.tolist())
    segments = Segments.of(latent.tokens for latent in latents)
    texts = tokenizer.texts_within(segments.tokens, segments.offsets) if latents else []
    for index, (latent, text) in enumerate(zip(latents, texts, strict=True)):
        if not barriers.isdisjoint(latent.tokens):
            raise VocabularyError(f"{file}: latent {index} holds an added token of the tokenizer")
        if latent.text != text:
            raise VocabularyError(
                f"{file}: latent {index} has the text {latent.text!r}, but the text of its tokens is {text!r}"
            )


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
