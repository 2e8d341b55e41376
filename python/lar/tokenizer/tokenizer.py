"""A model's tokenizer, loaded from its folder without transformers: text <-> ids, fingerprint, barriers."""

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any, Self

import numpy as np
import tokenizers
from numpy.typing import ArrayLike, NDArray

from lar.errors import TokenizerError
from lar.tokenizer.files import (
    DEFAULT_TEMPLATE,
    TEMPLATE_FILE,
    TEMPLATE_FOLDER,
    TOKENIZER_CONFIG_FILE,
    chat_templates,
    content_of,
    file_stem,
    obey_added_tokens,
    read_config,
    write_text,
)
from lar.tokenizer.location import TOKENIZER_FILE, tokenizer_folder
from lar.tokenizer.token_bytes import bytes_of_tokens, is_found_in_text
from lar.utils.files import write_json
from lar.utils.paths import StrPath

_TOOL_USE = "tool_use"

# Pairs of texts whose ids, encoded separately, must decode to the joined text (see `encodes_piecewise`).
_JOINTS = (("a", "b"), ("a ", "b"), ("a", " b"), ("\n", "a"), (".", "\n\nb"))


class Tokenizer:
    """A model's tokenizer: text <-> base ids, with the chat template and the special tokens of its folder.

    Make one with `load` (a Hugging Face folder) or `of` (a folder, a `Tokenizer`, a `tokenizers.Tokenizer`,
    or transformers' fast tokenizer). `len` is `base_size`. Two are equal if they have the same settings and
    chat template, so that they give the same ids for every text and render conversations alike. Then they
    have the same `fingerprint`, too; but those with the same `fingerprint` may cut texts differently.

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
        chat_template: str | Mapping[str, str] | None = None,
    ) -> None:
        """Wrap `backend`, which must not be changed afterwards.

        Args:
            backend: a tokenizer of the package `tokenizers`.
            config: the content of tokenizer_config.json.
            chat_template: the template in Jinja, or several by their names (see `template_for`); None:
                conversations cannot be rendered.

        Raises:
            TokenizerError: the name of a template is no file's name, but empty or a path.
        """
        # A truncation in the file would silently cut conversations.
        backend.no_truncation()
        backend.no_padding()
        self.backend = backend
        named: dict[str, str | None]
        named = {**chat_template} if isinstance(chat_template, Mapping) else {DEFAULT_TEMPLATE: chat_template}
        self.chat_template = named.pop(DEFAULT_TEMPLATE, None)
        self.other_templates = {file_stem(name): text for name, text in named.items() if text is not None}
        self._config = {key: value for key, value in (config or {}).items() if key != "chat_template"}

    def __len__(self) -> int:
        return self.base_size

    def __repr__(self) -> str:
        template = "no chat template" if self.chat_template is None else "a chat template"
        return f"Tokenizer({self.base_size:,} ids, {len(self.barriers)} added tokens, {template})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Tokenizer) and self._identity == other._identity

    def __hash__(self) -> int:
        return hash(self.fingerprint)

    def __getstate__(self) -> dict[str, Any]:
        # Without what is cached, which another process computes where it needs it.
        names = ("backend", "chat_template", "other_templates", "_config")
        return {name: getattr(self, name) for name in names}

    @property
    def _identity(self) -> tuple[Any, ...]:
        return *self._digests, self.chat_template, self.template_for(tools=True), self.special_tokens

    @classmethod
    def load(cls, path: StrPath) -> Self:
        """Read a folder: tokenizer.json, tokenizer_config.json, chat_template.jinja and further templates.

        Only the first file is required, and may be given in place of its folder. Names on a model hub are not
        looked up.

        Raises:
            TokenizerError: a file is missing or broken; the message names it.
        """
        folder = tokenizer_folder(path)
        file = folder / TOKENIZER_FILE
        try:
            backend = tokenizers.Tokenizer.from_file(str(file))
        except Exception as error:  # the library raises a bare Exception
            raise TokenizerError(f"{file}: {error}") from None
        config = read_config(folder / TOKENIZER_CONFIG_FILE)
        named = {**read_config(folder / "special_tokens_map.json"), **config}
        obey_added_tokens(backend, named, folder / TOKENIZER_CONFIG_FILE)
        return cls(backend, config=named, chat_template=chat_templates(folder, config))

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
        return cls(
            tokenizers.Tokenizer.from_str(value.backend_tokenizer.to_str()),
            # This class loads tokenizer.json unchanged, and the backend is written to that file.
            config={"tokenizer_class": "PreTrainedTokenizerFast", **value.special_tokens_map},
            chat_template=getattr(value, "chat_template", None),
        )

    def template_for(self, tools: object) -> str | None:
        """The chat template that transformers takes for a conversation with `tools`, or without (None, []).

        That is `tool_use` with tools, where templates have names and this one is among them.
        """
        return self.other_templates.get(_TOOL_USE, self.chat_template) if tools else self.chat_template

    @cached_property
    def special_tokens(self) -> dict[str, str]:
        """The special tokens by name (bos_token, eos_token, ...), to which a chat template may refer."""
        extra = self._config.get("extra_special_tokens")
        named = {**self._config, **(extra if isinstance(extra, dict) else {})}
        contents = {name: content_of(value) for name, value in named.items() if name.endswith("_token")}
        return {name: content for name, content in contents.items() if content is not None}

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 (hex) over the sorted (id, token) pairs, added tokens included, and the merges in order.

        It is independent of the file's layout, so all loaders and versions of a tokenizer give the same one.
        It does not cover how a text is normalized and cut before the merges.
        """
        return self._digests[0]

    @cached_property
    def _digests(self) -> tuple[str, str]:
        """The fingerprint, and a digest of all else that decides the ids of a text and the text of ids."""
        digest = hashlib.sha256()
        pairs = sorted((index, token) for token, index in self.backend.get_vocab().items())
        digest.update(json.dumps(pairs, ensure_ascii=True).encode())
        content = json.loads(self.backend.to_str())
        model = content.pop("model")
        merges = model.pop("merges", [])
        # Older files write a merge as "a b", newer ones as ["a", "b"].
        split = [merge.split(" ", 1) if isinstance(merge, str) else merge for merge in merges]
        digest.update(json.dumps(split, ensure_ascii=True).encode())
        if isinstance(model.get("vocab"), dict):  # else a list, with the scores of Unigram
            del model["vocab"]
        rest = json.dumps([content, model], sort_keys=True)
        return digest.hexdigest(), hashlib.sha256(rest.encode()).hexdigest()

    @cached_property
    def template_hash(self) -> str:
        """SHA-256 (hex) of the chat template and of another one for tools; of an empty text without any."""
        used = dict.fromkeys([self.template_for(tools=False), self.template_for(tools=True)])
        return hashlib.sha256("\0".join(text or "" for text in used).encode()).hexdigest()

    @cached_property
    def barriers(self) -> NDArray[np.uint32]:
        """Sorted ids of the added tokens that are found in text (uint32), which no segment may contain.

        Runs of spaces that are looked for in normalized text (GPT-NeoX, Phi-2) are none: latents are found
        before them, so they are like tokens of the ordinary vocabulary.
        """
        added = self.backend.get_added_tokens_decoder().items()
        found = [index for index, token in added if self._is_barrier(token)]
        return np.array(sorted(found), dtype=np.uint32)

    def _is_barrier(self, token: tokenizers.AddedToken) -> bool:
        is_spacing = token.content.isspace() and token.normalized and not token.special
        return is_found_in_text(self.backend, token.content) and not is_spacing

    @cached_property
    def special_ids(self) -> NDArray[np.uint32]:
        """Sorted ids of the special added tokens (uint32), which decoders leave out of the text."""
        added = self.backend.get_added_tokens_decoder()
        return np.array(sorted(index for index, token in added.items() if token.special), dtype=np.uint32)

    @cached_property
    def base_size(self) -> int:
        """Number of base ids: the largest id of a token plus one. Latent i has the id `base_size + i`.

        A model may have more embedding rows. No token ever had those, so no distribution here covers them.
        """
        return max(self.backend.get_vocab().values(), default=-1) + 1

    def encode(self, text: str) -> NDArray[np.uint32]:
        """The ids of `text` (n), uint32. Added tokens in the text are recognised; none are put around it."""
        return self.encode_batch([text])[0]

    def encode_batch(self, texts: Sequence[str]) -> list[NDArray[np.uint32]]:
        """The ids of many texts, encoded by RAYON_NUM_THREADS threads (default: all cores), GIL released.

        Raises:
            TokenizerError: `texts` is one text, whose characters would be taken for texts.
        """
        if isinstance(texts, str):
            raise TokenizerError("encode_batch takes a list of texts; encode takes one text")
        encodings = self.backend.encode_batch_fast(list(texts), add_special_tokens=False)
        return [np.array(encoding.ids, dtype=np.uint32) for encoding in encodings]

    def encode_with_offsets(self, text: str) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
        """The ids of `text` (n), and the index of each one's first character (n)."""
        (encoding,) = self.backend.encode_batch([text], add_special_tokens=False)
        starts = np.fromiter((start for start, _ in encoding.offsets), np.int64, len(encoding.ids))
        return np.array(encoding.ids, dtype=np.uint32), starts

    def decode(self, ids: ArrayLike) -> str:
        """The exact text of `ids`, with special tokens and unchanged spaces.

        A tokenizer that puts a space before every text drops it again, and so the first space of any ids;
        `texts_within` keeps it.

        Raises:
            TokenizerError: an id is none of this tokenizer's, such as that of a latent, which is expanded
            first (`LatentVocabulary.expand`). The library would leave out its text without a word. Or `ids`
            holds something else than integers.
        """
        array = np.asarray(ids)
        if array.size and array.dtype.kind not in "iu":
            raise TokenizerError(f"decode takes ids, not {array.dtype}")
        wrong = array[(array < 0) | (array >= self.base_size)]
        if wrong.size:
            raise TokenizerError(
                f"id {wrong[0]} is none of the tokenizer's {self.base_size:,}; latents are expanded first"
            )
        text: str = self.backend.decode(array.tolist(), skip_special_tokens=False)
        return text

    @cached_property
    def encodes_piecewise(self) -> bool:
        """Whether the ids of a text's pieces, joined, decode to that text.

        False for tokenizers that put a space before every text (metaspace, `add_prefix_space`).
        """
        pieces = [piece for pair in _JOINTS for piece in pair]
        ids = self.encode_batch(pieces)
        joined = zip(_JOINTS, zip(ids[::2], ids[1::2], strict=True), strict=True)
        return all(self.decode(np.concatenate(pair)) == "".join(texts) for texts, pair in joined)

    @cached_property
    def puts_space_before(self) -> bool:
        """Whether the tokenizer puts a space before every text (Llama 2), so that its ids begin with one."""
        return self.bytes_of(self.encode("a")).startswith(b" ")

    def token_bytes(self) -> tuple[NDArray[np.uint8], NDArray[np.uint64]]:
        """Return the bytes of every id below `base_size`, flat, and their offsets (base_size + 1).

        Ids without a token have no bytes.

        Raises:
            TokenizerError: the decoder is of an unknown kind.
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

    def base_token_bytes(self) -> list[bytes]:
        """Return the bytes of each token that is no barrier."""
        flat, offsets = self.token_bytes()
        content, added = flat.tobytes(), set(self.barriers.tolist())
        bounds = enumerate(pairwise(offsets.tolist()))
        return [content[start:end] for index, (start, end) in bounds if index not in added]

    @cached_property
    def separator(self) -> str | None:
        """An added token that leaves the text around it as it is, to separate pieces; None without one."""
        added = self.backend.get_added_tokens_decoder()
        tokens = [added[index] for index in self.barriers.tolist()]
        plain = (t for t in tokens if not (t.lstrip or t.rstrip or t.single_word or t.normalized))
        return next((token.content for token in plain), None)

    def bytes_of(self, ids: NDArray[np.uint32]) -> bytes:
        """Return the bytes of the text of `ids` (n), each below `base_size`."""
        flat, offsets = self.token_bytes()
        starts, ends = offsets[:-1][ids].astype(np.int64), offsets[1:][ids].astype(np.int64)
        lengths = ends - starts
        moves = starts - (np.cumsum(lengths) - lengths)
        text: bytes = flat[np.repeat(moves, lengths) + np.arange(lengths.sum())].tobytes()
        return text

    def texts_within(self, tokens: NDArray[np.uint32], offsets: NDArray[np.int64]) -> list[str]:
        """The texts that k lists of ids have within a text; list i is tokens[offsets[i]:offsets[i + 1]].

        Unlike `decode`, this keeps a space at the beginning, which decoders of the Llama 2 kind drop where a
        text begins. Bytes that are no whole character become U+FFFD.
        """
        content = self.bytes_of(tokens)
        lengths = np.diff(self.token_bytes()[1].astype(np.int64))[tokens]
        ends = np.concatenate([[0], np.cumsum(lengths)])[offsets].tolist()
        return [content[start:end].decode(errors="replace") for start, end in pairwise(ends)]

    def added_texts(self) -> list[str]:
        """The texts of the added tokens, by id."""
        added = self.backend.get_added_tokens_decoder()
        return [added[index].content for index in sorted(added)]

    def backend_with(self, texts: Sequence[str]) -> tokenizers.Tokenizer:
        """A clone of the backend with `texts` as added tokens that are not special.

        They get the ids from `base_size` on, except texts that are empty or tokens already.
        """
        backend = tokenizers.Tokenizer.from_str(self.backend.to_str())
        backend.add_tokens([tokenizers.AddedToken(text, special=False, normalized=False) for text in texts])
        return backend

    def save(self, folder: StrPath) -> None:
        """Write the files that `load` reads, each in one step; other files in the folder stay."""
        target = Path(folder)
        # The library's `save` raises a bare Exception for a full disk.
        write_text(target / TOKENIZER_FILE, self.backend.to_str(pretty=True))
        write_json(target / TOKENIZER_CONFIG_FILE, self._config)
        if self.chat_template is not None:
            write_text(target / TEMPLATE_FILE, self.chat_template)
        for name, text in self.other_templates.items():
            write_text(target / TEMPLATE_FOLDER / f"{name}.jinja", text)
