"""Compares an exported tokenizer's ids with the core's parse.

An engine reads text: its tokenizer finds the latents among the characters, and tokenizes the rest. The
student was trained on the core's parse of base tokens. Here both read the same conversations, and their ids
are compared by the bytes at which they begin.
"""

from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from lar.corpus import Shard
from lar.vocabulary.vocabulary import LatentVocabulary


@dataclass
class Agreement:
    """Sums over conversations: the ids of each side, and the ids that both have at the same byte."""

    text_ids: int = 0
    parsed_ids: int = 0
    common: int = 0

    @property
    def difference(self) -> float:
        """1 - common ids / ids of the side with more ids; 0 without ids."""
        ids = max(self.text_ids, self.parsed_ids)
        return 1 - self.common / ids if ids else 0.0

    def __iadd__(self, other: "Agreement") -> "Agreement":
        self.text_ids += other.text_ids
        self.parsed_ids += other.parsed_ids
        self.common += other.common
        return self


@dataclass
class TextLevel:
    """The agreement over whole conversations, and over the ids that begin in the agent's text."""

    whole: Agreement = field(default_factory=Agreement)
    action: Agreement = field(default_factory=Agreement)

    def __iadd__(self, other: "TextLevel") -> "TextLevel":
        self.whole += other.whole
        self.action += other.action
        return self


class TextLevelComparison:
    """A vocabulary and the tokenizer that an engine would load from its export."""

    def __init__(self, vocabulary: LatentVocabulary) -> None:
        """Accept any vocabulary; an engine reads a latent whose text is a token as that token."""
        self._vocabulary = vocabulary
        self._backend = vocabulary.tokenizer.backend_with([latent.text for latent in vocabulary.latents])
        _, offsets = vocabulary.tokenizer.token_bytes()
        self._token_lengths = np.diff(offsets).astype(np.int64)
        latents = [len(latent.text.encode()) for latent in vocabulary.latents]
        self._lengths = np.concatenate([self._token_lengths, latents]).astype(np.int64)
        # Without engine gates, a latent's text may be a token already: an engine has no id for that latent.
        ids = {latent.text: latent.id for latent in reversed(vocabulary.latents) if latent.text}
        base = vocabulary.tokenizer.backend
        possible = sorted(index for text, index in ids.items() if base.token_to_id(text) is None)
        self._unit_of_id = np.array([*range(vocabulary.base_size), *possible], dtype=np.uint32)

    def of(self, shard: Shard) -> TextLevel:
        """The agreement on the conversations of a shard."""
        conversations = [shard.tokens[start:end] for start, end in pairwise(shard.offsets.tolist())]
        starts = _ends(self._token_lengths[shard.tokens])
        bytes_before = starts[shard.offsets]
        decoded = self._vocabulary.tokenizer.backend.decode_batch(
            [tokens.tolist() for tokens in conversations], skip_special_tokens=False
        )
        encodings = self._backend.encode_batch_fast(decoded, add_special_tokens=False)
        engine = [self._unit_of_id[np.array(encoding.ids, dtype=np.int64)] for encoding in encodings]
        core = [self._vocabulary.encode(tokens) for tokens in conversations]
        text_ids, parsed_ids = self._placed(engine, bytes_before), self._placed(core, bytes_before)

        def is_action(placed: NDArray[np.uint64]) -> NDArray[np.bool_]:
            token = np.searchsorted(starts, (placed >> np.uint64(32)).astype(np.int64), side="right") - 1
            spoken: NDArray[np.bool_] = np.append(shard.action, False)[token]
            return spoken

        whole = _agreement(text_ids, parsed_ids)
        action = _agreement(text_ids[is_action(text_ids)], parsed_ids[is_action(parsed_ids)])
        return TextLevel(whole, action)

    def _placed(
        self, conversations: list[NDArray[np.uint32]], bytes_before: NDArray[np.int64]
    ) -> NDArray[np.uint64]:
        """Each id (lower half) and the byte of the shard at which it begins (upper half) as one number."""
        placed = []
        for ids, before in zip(conversations, bytes_before.tolist(), strict=False):
            begins = before + _ends(self._lengths[ids])[:-1]
            placed.append(begins.astype(np.uint64) << np.uint64(32) | ids)
        return np.concatenate([*placed, np.zeros(0, dtype=np.uint64)])


def _ends(lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """The offsets of n items of these lengths, laid end to end; int64 (n + 1)."""
    return np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)


def _agreement(text_ids: NDArray[np.uint64], parsed_ids: NDArray[np.uint64]) -> Agreement:
    return Agreement(len(text_ids), len(parsed_ids), len(np.intersect1d(text_ids, parsed_ids)))
