"""The latent vocabulary: segments and their ids, tied to one tokenizer."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lar import _core
from lar.errors import OptionError, VocabularyError
from lar.tokenizer.tokenizer import Tokenizer
from lar.utils.paths import StrPath
from lar.utils.result_files import VOCABULARY_FILE
from lar.utils.task_digests import task_digest
from lar.vocabulary.arrays import as_ids, as_mask, as_offsets
from lar.vocabulary.latent import Latent
from lar.vocabulary.segments import Segments
from lar.vocabulary.served_parse import ServedParse
from lar.vocabulary.storage import check_texts, read_folder, write_folder


@dataclass(frozen=True, slots=True)
class Reparameterized:
    """Conversations of n base tokens as u units, the ids that an engine reads for their text.

    units: uint32 (u). action: bool (u), whether the agent wrote the unit; no unit crosses to another speaker
    or conversation. starts: int64 (u + 1), the base position of the token that has each unit's first
    byte, and n. begins: bool (u + 1), whether the unit begins where that token does, and True.

    A latent may end inside a base token; the next unit then begins inside it. Where a unit begins with a
    token, the teacher's distribution before it is at base position starts[j] - 1.
    """

    units: NDArray[np.uint32]
    action: NDArray[np.bool_]
    starts: NDArray[np.int64]
    begins: NDArray[np.bool_]


@dataclass(frozen=True, eq=False, repr=False)
class LatentVocabulary:
    """Latents over the ids of one tokenizer; immutable, and safe to share between threads and processes.

    Latent i has the id base_size + i, in training as in an engine; it is `vocabulary[i]`. Iteration yields
    the latents, `len` is their number. Two vocabularies are equal if they hold the same latents over the same
    ids. Make one with `lar.mine` or `load`.

    >>> text = "The temperature in Oslo is 3 degrees Celsius."
    >>> units = vocabulary.encode_text(text)
    >>> units.dtype, len(units) <= len(vocabulary.tokenizer.encode(text)), vocabulary.text(units) == text
    (dtype('uint32'), True, True)
    """

    latents: tuple[Latent, ...]
    tokenizer: Tokenizer
    mining: dict[str, Any] = field(default_factory=dict)
    mined_tasks: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        for index, latent in enumerate(self.latents):
            if latent.id != self.base_size + index:
                raise VocabularyError(f"latent {index} has id {latent.id}, expected {self.base_size + index}")
            if min(latent.tokens, default=0) < 0:
                raise VocabularyError(f"latent {index} holds a negative token")
        _ = self._compiled  # raises for what else is invalid

    def __len__(self) -> int:
        return len(self.latents)

    def __getitem__(self, index: int) -> Latent:
        return self.latents[index]

    def __iter__(self) -> Iterator[Latent]:
        return iter(self.latents)

    def __repr__(self) -> str:
        shown = ", ".join(repr(latent.text) for latent in self.latents[:3])
        more = ", ..." if len(self) > 3 else ""
        return f"LatentVocabulary({len(self)} latents from id {self.base_size} on: {shown}{more})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, LatentVocabulary) and self._identity == other._identity

    def __hash__(self) -> int:
        return hash(self._identity)

    def __reduce__(self) -> tuple[type["LatentVocabulary"], tuple[Any, ...]]:
        # Without compiled parts: the process that unpickles compiles its own.
        return LatentVocabulary, (self.latents, self.tokenizer, self.mining, self.mined_tasks)

    @property
    def _identity(self) -> tuple[tuple[Latent, ...], str]:
        return self.latents, self.tokenizer_fingerprint

    @property
    def base_size(self) -> int:
        """Number of base ids: the tokenizer's `base_size`."""
        return self.tokenizer.base_size

    @property
    def size(self) -> int:
        """Number of latents."""
        return len(self.latents)

    @property
    def tokenizer_fingerprint(self) -> str:
        """The fingerprint of the tokenizer whose ids the segments hold."""
        return self.tokenizer.fingerprint

    @cached_property
    def segments(self) -> Segments:
        """The segment of each latent."""
        return Segments.of(latent.tokens for latent in self.latents)

    @cached_property
    def first_tokens(self) -> NDArray[np.uint32]:
        """First base token of each latent; uint32 (size)."""
        return self.segments.tokens[self.segments.offsets[:-1]]

    @cached_property
    def _compiled(self) -> _core.Vocabulary:
        return _core.Vocabulary(self.base_size, self.segments.tokens, self.segments.offsets)

    @cached_property
    def _served_parse(self) -> ServedParse:
        return ServedParse(self.tokenizer, self.segments)

    @cached_property
    def _guard_table(self) -> _core.GuardTable:
        return _core.GuardTable(self._compiled, *self._token_bytes([]), self.tokenizer.barriers)

    def encode(self, ids: ArrayLike) -> NDArray[np.uint32]:
        """The units of any base ids, quickly; uint32. For what an engine reads, call `encode_text`.

        An engine finds latents in text and not in tokens, so its units can differ: `encode_text` has them for
        a text, and `reparameterize` for the ids of conversations. `encode` takes the longest segment of
        tokens at each place, from left to right, at more than 100 million ids a second.

        Raises:
            VocabularyError: an id is no base id.

        >>> ids = vocabulary.tokenizer.encode("The temperature in Oslo is 3 degrees Celsius.")
        >>> bool((vocabulary.expand(vocabulary.encode(ids)) == ids).all())
        True
        """
        if isinstance(ids, str):
            raise VocabularyError("encode takes base ids, not text: encode_text takes text")
        return self._compiled.encode(as_ids(ids))

    def expand(self, units: ArrayLike) -> NDArray[np.uint32]:
        """The base ids of units, uint32: the exact inverse of `encode`.

        Raises:
            VocabularyError: an id is neither a base id nor a latent.
        """
        return self._compiled.expand(as_ids(units))

    def reparameterize(
        self, tokens: ArrayLike, action: ArrayLike, offsets: ArrayLike | None = None
    ) -> Reparameterized:
        """The units that an engine reads for base ids (n); `action` (n): whether the agent wrote each.

        Conversation i of m is tokens[offsets[i]:offsets[i + 1]]; without `offsets` (m + 1) there is only one.

        Raises:
            VocabularyError: an id is no base id, or the ids are not those of a text.
            OptionError: the arrays do not fit together, `action` holds no bools, or `offsets` no integers.
            TokenizerError: the tokenizer changes a text that added tokens divide.
        """
        ids, action = as_ids(tokens), as_mask(action)
        bounds = as_offsets([0, len(ids)] if offsets is None else offsets)
        if not self.latents:  # of a control, which may have any tokenizer
            parsed = self._compiled.align(ids, action, bounds)
            return Reparameterized(*parsed, np.ones(len(ids) + 1, dtype=np.bool_))
        units, starts, begins = self._served_parse.parse(ids, action, bounds)
        return Reparameterized(units, action[starts], np.append(starts, len(ids)), np.append(begins, [True]))

    def encode_text(self, text: str) -> NDArray[np.uint32]:
        """The units that an engine reads for `text`; uint32. For base ids, see `encode`.

        Where the tokenizer normalizes, the units are those of the normalized text: an engine finds latents in
        the text as it is. With NFC (Qwen) its ids differ at letters with separate accents (`e` and U+0301).

        Raises:
            TokenizerError: the tokenizer changes a text that added tokens divide.
            VocabularyError: `text` is no string, or has a lone surrogate, which no text in UTF-8 has.
        """
        if not isinstance(text, str):
            raise VocabularyError(
                f"encode_text takes text, not a {type(text).__name__}: encode takes base ids"
            )
        if (fault := _surrogate_in(text)) is not None:
            raise VocabularyError(f"the text has a lone surrogate ({fault!a}), which is no character")
        ids = self.tokenizer.encode(text)
        return self.reparameterize(ids, np.zeros(len(ids), dtype=np.bool_)).units

    def first_tokens_of(self, units: NDArray[np.integer[Any]]) -> NDArray[np.int64]:
        """The first base token of each of n valid units; int64 (n)."""
        first = units.astype(np.int64)
        latent = first >= self.base_size
        first[latent] = self.first_tokens[first[latent] - self.base_size]
        return first

    @cached_property
    def unit_bytes(self) -> NDArray[np.int64]:
        """Number of UTF-8 bytes of each base id and latent; int64 (base_size + size)."""
        _, offsets = self.tokenizer.token_bytes()
        lengths = np.diff(offsets.astype(np.int64))
        starts = self.segments.offsets[:-1]
        latents = np.add.reduceat(lengths[self.segments.tokens], starts) if self.latents else starts
        return np.concatenate([lengths, latents])

    def text(self, units: ArrayLike) -> str:
        """The text of units, without special tokens.

        Tokenizers of the Llama 2 kind put a space before every text (`Tokenizer.puts_space_before`). The
        units of such a text, and so this text of them, begin with that space; so does a stream's. Units from
        the middle of a text begin with a space of its own, so neither can be removed here.
        """
        return self._expander(skip_special_tokens=True).text(as_ids(units))

    def stream(
        self,
        tokenizer: object = None,
        *,
        stop: str | Sequence[str] | None = (),
        max_units: int | None = None,
        max_base_tokens: int | None = None,
        skip_special_tokens: bool = True,
    ) -> _core.Stream:
        """A stream that expands one request's units: `push(unit)` returns the text that is final.

        Characters are returned whole. Text is held back only while a stop string may still be completed. The
        text ends exactly where a stop string begins, even inside an expansion. `stop` is one string or
        several, or None for no stop. The default tokenizer is the vocabulary's.

        `max_units` ends the stream after so many units, `max_base_tokens` after so many base tokens, which
        may cut a latent. `flush()` returns what is held back, and ends the stream. Half a character at the
        end becomes U+FFFD. The token that ends a turn is a unit without text, and does not end the stream:
        leave your loop at it.

        finish_reason: None while the stream runs; then "stop", "length" (a budget is spent), or "flushed".
        stop_reason: the stop string, after "stop". units, base_tokens: how many were pushed, and how many
        base tokens they stand for. docs/engines.md has a loop of a server.

        Raises:
            VocabularyError: the tokenizer is not the vocabulary's.
            OptionError: a stop string is empty, no string or has a lone surrogate, or both budgets are given.
        """
        self.check_tokenizer(tokenizer)
        return self._expander(skip_special_tokens).stream(_stops(stop), max_units, max_base_tokens)

    def stream_batch(
        self,
        requests: int,
        *,
        stop: str | Sequence[str] | None = (),
        max_units: int | None = None,
        max_base_tokens: int | None = None,
        skip_special_tokens: bool = True,
    ) -> _core.StreamBatch:
        """Streams for several requests that are generated together; see `stream`."""
        expander = self._expander(skip_special_tokens)
        return expander.stream_batch(requests, _stops(stop), max_units, max_base_tokens)

    def guard(self) -> _core.CanonicalGuard:
        """A guard for one turn: `excluded()` returns the units that may not come next, `push(unit)` adds one.

        If excluded units are never written, an engine that reads the turn's text finds exactly the latents
        that were written. The base tokens between them may differ from the tokenizer's, as with any model.
        `lar.generation.guard` is the guard for transformers.

        Raises:
            TokenizerError: the tokenizer's decoder is of an unknown kind.
        """
        return self._guard_table.guard()

    def has_seen(self, task: str) -> bool:
        """Whether the vocabulary was mined on this task."""
        return task_digest(task) in self.mined_tasks

    def check_tokenizer(self, tokenizer: object) -> None:
        """Raise VocabularyError unless `tokenizer` (None: the vocabulary's own) has the vocabulary's ids."""
        if tokenizer is None:
            return
        found = Tokenizer.of(tokenizer).fingerprint
        if found != self.tokenizer_fingerprint:
            raise VocabularyError(
                f"mined with tokenizer {self.tokenizer_fingerprint[:12]}, not with this one ({found[:12]})"
            )

    def save(self, path: StrPath) -> None:
        """Write the vocabulary's folder; an older vocabulary there is replaced after all is written.

        Raises:
            OptionError: the folder is not empty and holds no vocabulary.
        """
        write_folder(Path(path), self.tokenizer, self.mining, self.latents, self.mined_tasks)

    @classmethod
    def load(cls, path: StrPath) -> "LatentVocabulary":
        """The vocabulary in a folder, checked.

        Raises:
            FileNotFoundError: the folder or one of its files is missing.
            VocabularyError: its content is wrong; the message names the place.
        """
        file = Path(path) / VOCABULARY_FILE
        stored = read_folder(Path(path))
        try:
            vocabulary = cls(*stored)
        except VocabularyError as error:
            raise VocabularyError(f"{file}: {error}") from error
        check_texts(vocabulary.latents, vocabulary.tokenizer, file)
        return vocabulary

    # The names of these methods in transformers and PEFT.
    from_pretrained = load
    save_pretrained = save

    def _expander(self, skip_special_tokens: bool) -> _core.Expander:
        return self._spoken_expander if skip_special_tokens else self._full_expander

    @cached_property
    def _full_expander(self) -> _core.Expander:
        return _core.Expander(self._compiled, *self._token_bytes([]))

    @cached_property
    def _spoken_expander(self) -> _core.Expander:
        return _core.Expander(self._compiled, *self._token_bytes(self.tokenizer.special_ids))

    def _token_bytes(self, silent: ArrayLike) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """Bytes of the `base_size` ids, flat, and their offsets (base_size + 1); `silent` ids have none."""
        flat, offsets = self.tokenizer.token_bytes()
        lengths: NDArray[np.int64] = np.diff(offsets).astype(np.int64)
        hidden = np.zeros(self.base_size, dtype=np.bool_)
        hidden[np.asarray(silent, dtype=np.int64)] = True
        kept = flat[~np.repeat(hidden, lengths)]
        lengths[hidden] = 0
        return kept, np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)


def _stops(stop: str | Sequence[str] | None) -> list[str]:
    """The stop strings as a list; a single string is one stop string, None is none."""
    if not isinstance(stop, str | Iterable | None):
        raise OptionError(f"{stop!a} is no stop string")
    stops = [stop] if isinstance(stop, str) else list(stop or ())
    for one in stops:
        if not isinstance(one, str) or _surrogate_in(one) is not None:
            raise OptionError(f"{one!a} is no stop string: it must be text without lone surrogates")
    return stops


def _surrogate_in(text: str) -> str | None:
    """A lone surrogate in `text`, which has no form in UTF-8; None without one."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        return text[error.start]
    return None
