"""A model's tokenizer as a folder of files, without transformers: text <-> ids, fingerprints, barriers."""

import hashlib
import json
import logging
import os
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
import tokenizers
from numpy.typing import ArrayLike, NDArray

from lar.errors import TokenizerError
from lar.tokenizer.token_bytes import bytes_of_tokens
from lar.utils.files import atomic_file
from lar.utils.paths import StrPath

logger = logging.getLogger(__name__)

TOKENIZER_FILE = "tokenizer.json"
TOKENIZER_CONFIG_FILE = "tokenizer_config.json"
TEMPLATE_FILE = "chat_template.jinja"
MODEL_CONFIG_FILE = "config.json"

# Pairs whose parts, encoded apart, must decode to the whole (see `Tokenizer.encodes_piecewise`).
_JOINTS = (("a", "b"), ("a ", "b"), ("a", " b"), ("\n", "a"), (".", "\n\nb"))


class Tokenizer:
    """A model's tokenizer: text <-> base ids, with the chat template and the special tokens of its folder.

    Make one with `load` (a Hugging Face folder) or `of` (a folder, a `Tokenizer`, a `tokenizers.Tokenizer`,
    or transformers' fast one). `len` is the largest id plus one. Two are equal if they give the same ids for
    every text and render conversations alike; then they have the same `fingerprint`, too.

    >>> ids = tokenizer.encode("How warm is it?")
    >>> ids.dtype, tokenizer.decode(ids)
    (dtype('uint32'), 'How warm is it?')
    >>> lar.Tokenizer.of(tokenizer.backend).fingerprint == tokenizer.fingerprint
    True
    """

    def __init__(
        self,
        backend: tokenizers.Tokenizer,
        *,
        config: Mapping[str, Any] | None = None,
        chat_template: str | None = None,
        model_vocab_size: int | None = None,
    ) -> None:
        """Wrap `backend`, which must not be changed afterwards.

        Args:
            backend: a tokenizer of the package `tokenizers`.
            config: the content of tokenizer_config.json.
            chat_template: the template in Jinja; None: conversations cannot be rendered.
            model_vocab_size: rows of the model's embedding; None where they are not known.
        """
        # A truncation left in the file would cut conversations silently.
        backend.no_truncation()
        backend.no_padding()
        self.backend = backend
        self.chat_template = chat_template
        self._config = {key: value for key, value in (config or {}).items() if key != "chat_template"}
        self._model_vocab_size = model_vocab_size

    def __len__(self) -> int:
        return self.length

    def __repr__(self) -> str:
        template = "no chat template" if self.chat_template is None else "a chat template"
        return f"Tokenizer({self.length:,} ids, {len(self.barriers)} added tokens, {template})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Tokenizer) and self._identity == other._identity

    def __hash__(self) -> int:
        return hash(self.fingerprint)

    def __getstate__(self) -> dict[str, Any]:
        # Without what is cached, which another process computes where it needs it.
        names = ("backend", "chat_template", "_config", "_model_vocab_size")
        return {name: getattr(self, name) for name in names}

    @property
    def _identity(self) -> tuple[Any, ...]:
        return self.fingerprint, self.chat_template, self.special_tokens, self._model_vocab_size

    @classmethod
    def load(cls, path: StrPath) -> Self:
        """Read a folder: tokenizer.json, tokenizer_config.json, chat_template.jinja, config.json.

        Only the first file is needed.

        Raises:
            TokenizerError: a file is missing or broken; the message names it.
        """
        folder = Path(path)
        file = folder / TOKENIZER_FILE
        if not file.is_file():
            raise TokenizerError(f"{folder}: no {TOKENIZER_FILE} (a tokenizer is a Hugging Face folder)")
        try:
            backend = tokenizers.Tokenizer.from_file(str(file))
        except Exception as error:  # the library raises a bare Exception
            raise TokenizerError(f"{file}: {error}") from None
        config = read_json(folder / TOKENIZER_CONFIG_FILE)
        _add_missing_tokens(backend, config, folder / TOKENIZER_CONFIG_FILE)
        legacy = read_json(folder / "special_tokens_map.json")
        return cls(
            backend,
            config={**legacy, **config},
            chat_template=_chat_template(folder, config),
            model_vocab_size=_vocab_size(read_json(folder / MODEL_CONFIG_FILE)),
        )

    @classmethod
    def of(cls, value: Any) -> "Tokenizer":
        """Return `value` as a Tokenizer; a `Tokenizer` is returned as it is.

        `value` is a `Tokenizer`, a folder's path, a `tokenizers.Tokenizer`, or a fast tokenizer of
        transformers.

        Raises:
            TokenizerError: it is none of these, or the folder's files are missing or broken.
        """
        if isinstance(value, Tokenizer):
            return value
        if isinstance(value, str | os.PathLike):
            return cls.load(value)
        if isinstance(value, tokenizers.Tokenizer):
            return cls(tokenizers.Tokenizer.from_str(value.to_str()))
        if hasattr(value, "backend_tokenizer"):
            return cls._of_transformers(value)
        raise TokenizerError(
            f"cannot make a tokenizer of a {type(value).__name__}: give a folder or transformers' fast one"
        )

    @classmethod
    def _of_transformers(cls, value: Any) -> Self:
        template = getattr(value, "chat_template", None)
        if isinstance(template, Mapping):
            template = template.get("default")
        folder = Path(str(getattr(value, "name_or_path", "") or "."))
        is_folder = (folder / TOKENIZER_FILE).is_file()
        return cls(
            tokenizers.Tokenizer.from_str(value.backend_tokenizer.to_str()),
            # This class takes tokenizer.json as it stands, which is what the backend was written to.
            config={"tokenizer_class": "PreTrainedTokenizerFast", **value.special_tokens_map},
            chat_template=template,
            model_vocab_size=_vocab_size(read_json(folder / MODEL_CONFIG_FILE)) if is_folder else None,
        )

    @cached_property
    def special_tokens(self) -> dict[str, str]:
        """The named special tokens (bos_token, eos_token, ...) that a chat template may refer to."""
        extra = self._config.get("extra_special_tokens")
        named = {**self._config, **(extra if isinstance(extra, dict) else {})}
        contents = {name: _content(value) for name, value in named.items() if name.endswith("_token")}
        return {name: content for name, content in contents.items() if content is not None}

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 (hex) over the sorted (id, token) pairs, added tokens included, and the merges in order.

        It does not depend on how the file is laid out, so every loader and version of a tokenizer agrees.
        """
        digest = hashlib.sha256()
        pairs = sorted((index, token) for token, index in self.backend.get_vocab().items())
        digest.update(json.dumps(pairs, ensure_ascii=True).encode())
        merges = json.loads(self.backend.to_str())["model"].get("merges", [])
        # Older files write a merge as "a b", newer ones as ["a", "b"].
        split = [merge.split(" ", 1) if isinstance(merge, str) else merge for merge in merges]
        digest.update(json.dumps(split, ensure_ascii=True).encode())
        return digest.hexdigest()

    @cached_property
    def template_hash(self) -> str:
        """SHA-256 (hex) of the chat template; of the empty string where there is none."""
        return hashlib.sha256((self.chat_template or "").encode()).hexdigest()

    @cached_property
    def barriers(self) -> NDArray[np.uint32]:
        """Sorted ids of every added token: no segment may contain one."""
        return np.array(sorted(self.backend.get_added_tokens_decoder()), dtype=np.uint32)

    @cached_property
    def special_ids(self) -> NDArray[np.uint32]:
        """Sorted ids of the added tokens that are special: decoders leave them out of the text."""
        added = self.backend.get_added_tokens_decoder()
        return np.array(sorted(index for index, token in added.items() if token.special), dtype=np.uint32)

    @property
    def base_size(self) -> int:
        """Rows of the model's embedding (`vocab_size` of config.json); else the largest id plus one."""
        if self._model_vocab_size is not None:
            return self._model_vocab_size
        return self.length

    @property
    def base_size_is_known(self) -> bool:
        """Whether `base_size` is the model's own figure and not only a lower bound from the ids."""
        return self._model_vocab_size is not None

    @cached_property
    def length(self) -> int:
        """The largest id of a token plus one; a model may have more embedding rows than that."""
        return max(self.backend.get_vocab().values(), default=-1) + 1

    def encode(self, text: str) -> NDArray[np.uint32]:
        """Encode `text` (n tokens): nothing is put around it, added tokens written in it are recognised."""
        return self.encode_batch([text])[0]

    def encode_batch(self, texts: Sequence[str]) -> list[NDArray[np.uint32]]:
        """Encode many texts on all cores: the library's threads, GIL released, RAYON_NUM_THREADS of them."""
        encodings = self.backend.encode_batch_fast(list(texts), add_special_tokens=False)
        return [np.array(encoding.ids, dtype=np.uint32) for encoding in encodings]

    def encode_with_offsets(self, text: str) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
        """Encode `text` to n ids and the character at which each of them starts (n)."""
        (encoding,) = self.backend.encode_batch([text], add_special_tokens=False)
        starts = np.fromiter((start for start, _ in encoding.offsets), np.int64, len(encoding.ids))
        return np.array(encoding.ids, dtype=np.uint32), starts

    def decode(self, ids: ArrayLike) -> str:
        """Decode `ids` exactly: special tokens are written out and no space is tidied."""
        text: str = self.backend.decode(np.asarray(ids).tolist(), skip_special_tokens=False)
        return text

    @cached_property
    def encodes_piecewise(self) -> bool:
        """Whether pieces of a text, encoded apart, are that text again when put together.

        False for tokenizers that put a space before every text (metaspace, `add_prefix_space`).
        """
        pieces = [piece for pair in _JOINTS for piece in pair]
        ids = self.encode_batch(pieces)
        joined = zip(_JOINTS, zip(ids[::2], ids[1::2], strict=True), strict=True)
        return all(self.decode(np.concatenate(pair)) == "".join(texts) for texts, pair in joined)

    def token_bytes(self) -> tuple[NDArray[np.uint8], NDArray[np.uint64]]:
        """Return the bytes of every id below `base_size`, flat, and their offsets (base_size + 1).

        Ids without a token have none. Raises TokenizerError where the decoder is of an unknown kind.
        """
        return self._token_bytes

    @cached_property
    def _token_bytes(self) -> tuple[NDArray[np.uint8], NDArray[np.uint64]]:
        table = bytes_of_tokens(self.backend)
        pieces = [table.get(index, b"") for index in range(self.base_size)]
        offsets = np.zeros(len(pieces) + 1, dtype=np.uint64)
        np.cumsum([len(piece) for piece in pieces], out=offsets[1:])
        offsets.setflags(write=False)
        return np.frombuffer(b"".join(pieces), dtype=np.uint8), offsets

    def added_texts(self) -> list[str]:
        """The texts of the added tokens, by id."""
        added = self.backend.get_added_tokens_decoder()
        return [added[index].content for index in sorted(added)]

    def backend_with(self, texts: Sequence[str]) -> tokenizers.Tokenizer:
        """A clone of the backend with `texts` as added tokens that are not special.

        They get the ids from `length` on; what is a token already, or is empty, gets none.
        """
        backend = tokenizers.Tokenizer.from_str(self.backend.to_str())
        backend.add_tokens([tokenizers.AddedToken(text, special=False, normalized=False) for text in texts])
        return backend

    def save(self, folder: StrPath) -> None:
        """Write the files that `load` reads, each in one step; other files in the folder stay.

        A model's own config.json says more than ours would, so it stays too.
        """
        target = Path(folder)
        # The library's own `save` reports a full disk as a bare Exception.
        _write_text(target / TOKENIZER_FILE, self.backend.to_str(pretty=True))
        _write_text(target / TOKENIZER_CONFIG_FILE, _json_text(self._config))
        if self.chat_template is not None:
            _write_text(target / TEMPLATE_FILE, self.chat_template)
        if self._model_vocab_size is not None and not (target / MODEL_CONFIG_FILE).exists():
            _write_text(target / MODEL_CONFIG_FILE, _json_text({"vocab_size": self._model_vocab_size}))


def _add_missing_tokens(backend: tokenizers.Tokenizer, config: dict[str, Any], file: Path) -> None:
    """Add the tokens that only tokenizer_config.json names (transformers gives those precedence)."""
    listed = config.get("added_tokens_decoder") or {}
    known = backend.get_added_tokens_decoder()
    for index, entry in sorted((int(index), entry) for index, entry in listed.items()):
        if index in known:
            continue
        fields = {key: value for key, value in entry.items() if key not in {"content", "special", "__type"}}
        token = tokenizers.AddedToken(entry["content"], special=bool(entry.get("special")), **fields)
        (backend.add_special_tokens if token.special else backend.add_tokens)([token])
        logger.info("%s: added token %r is missing from %s", file, token.content, TOKENIZER_FILE)
        if backend.token_to_id(token.content) != index:
            got = backend.token_to_id(token.content)
            raise TokenizerError(f"{file}: added token {token.content!r} says id {index} and would get {got}")


def _chat_template(folder: Path, config: dict[str, Any]) -> str | None:
    """Return the template that transformers would use: the file's, else the config's (its `default`)."""
    file = folder / TEMPLATE_FILE
    if file.is_file():
        return file.read_text(encoding="utf-8")
    template = config.get("chat_template")
    if isinstance(template, list):
        template = {entry["name"]: entry["template"] for entry in template}.get("default")
    return template if isinstance(template, str) else None


def _vocab_size(config: dict[str, Any]) -> int | None:
    """Return the embedding's rows from a config.json; multimodal models keep them in `text_config`."""
    text = config.get("text_config")
    size = config.get("vocab_size") or (text.get("vocab_size") if isinstance(text, dict) else None)
    return int(size) if size else None


def _content(value: Any) -> str | None:
    """Return a token's text: a plain string, or the `content` of a serialized added token."""
    content = value.get("content") if isinstance(value, dict) else value
    return content if isinstance(content, str) else None


def read_json(file: Path) -> dict[str, Any]:
    """Return the file's JSON object, empty where there is no file; TokenizerError where it is none."""
    try:
        value = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise TokenizerError(f"{file}: not JSON ({error})") from None
    if not isinstance(value, dict):
        raise TokenizerError(f"{file}: not a JSON object")
    return value


def _json_text(value: dict[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False, indent=2) + "\n"


def _write_text(file: Path, text: str) -> None:
    with atomic_file(file) as temporary:
        temporary.write_text(text, encoding="utf-8")
