"""Texts that logs repeat are encoded once: system prompts, lists of tools, beginnings of conversations."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from lar.tokenizer.pieces import partings
from lar.tokenizer.tokenizer import Tokenizer

# Characters of all texts that are kept, after which all are dropped. With their ids, twice as many bytes.
MOST_CHARACTERS = 16_000_000


class KnownTexts:
    """Encodes texts, and keeps the ids of their parts between added tokens. Safe to share between threads."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        """Take a tokenizer that encodes each text in the same way, wherever it stands."""
        self._tokenizer = tokenizer
        self._partings = partings(tokenizer)
        self._ids: dict[str, NDArray[np.uint32]] = {}
        self._characters = 0

    def encode_batch(self, texts: Sequence[str]) -> list[NDArray[np.uint32]]:
        """The ids of each text, as `Tokenizer.encode_batch` gives them."""
        if self._partings is None:
            return self._tokenizer.encode_batch(texts)
        parted = [list(self._parts(text)) for text in texts]
        distinct = dict.fromkeys(part for parts in parted for part in parts)
        # Another thread may drop what is kept at any time, so this one holds what it needs.
        known = self._ids
        new = [part for part in distinct if part not in known]
        ids = dict(zip(new, self._tokenizer.encode_batch(new), strict=True))
        ids.update((part, known[part]) for part in distinct if part not in ids)
        self._keep(new, ids)
        empty = np.empty(0, np.uint32)
        return [np.concatenate([empty, *(ids[part] for part in parts)]) for parts in parted]

    def _parts(self, text: str) -> Iterator[str]:
        """The text in parts, each of which ends with an added token, but for the last."""
        begin = 0
        for match in self._partings.finditer(text) if self._partings else ():
            yield text[begin : match.end()]
            begin = match.end()
        if begin < len(text):
            yield text[begin:]

    def _keep(self, new: Sequence[str], ids: dict[str, NDArray[np.uint32]]) -> None:
        characters = sum(map(len, new))
        if self._characters + characters > MOST_CHARACTERS:
            self._ids, self._characters = {}, 0
        if characters <= MOST_CHARACTERS:
            self._ids.update((part, ids[part]) for part in new)
            self._characters += characters
