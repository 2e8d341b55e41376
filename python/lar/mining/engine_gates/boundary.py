"""The gate that reads the corpus: latents that are found in text where their tokens are not.

Engines find added tokens in text. `" the user"` stands in `" the username"` too, and there the base tokens
are others: the prompt that an engine encodes would not be what the student has learnt to read.
"""

from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from lar import _core
from lar.corpus import Corpus, Shard
from lar.mining.backend import Backend
from lar.tokenizer.tokenizer import Tokenizer


@dataclass(frozen=True)
class Misalignment:
    """Of each of k latents: occurrences of its text (k), and those that are not its own tokens (k)."""

    found: NDArray[np.uint64]
    misaligned: NDArray[np.uint64]

    def exceeds(self, share: float) -> NDArray[np.bool_]:
        """Which latents are misaligned in more than this share of their occurrences; bool (k)."""
        return self.misaligned > share * self.found


def misalignment(
    corpus: Corpus, segments: tuple[NDArray[np.uint32], NDArray[np.int64]], backend: Backend
) -> Misalignment:
    """Count in whole conversations, all speakers' text, as an engine would find the latents.

    `segments` are the base ids of k latents, end to end, with their offsets (k + 1).
    """
    found = np.zeros(len(segments[1]) - 1, dtype=np.uint64)
    misaligned = found.copy()
    arguments = (*_table(corpus.tokenizer), *segments)
    for of_shard in backend.map_shards(partial(_count, arguments), corpus):
        found += of_shard[0]
        misaligned += of_shard[1]
    return Misalignment(found, misaligned)


Table = tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.uint32]]


def _table(tokenizer: Tokenizer) -> Table:
    content, offsets = tokenizer.token_bytes()
    return content, offsets.astype(np.int64), tokenizer.barriers


def _count(
    arguments: tuple[
        NDArray[np.uint8], NDArray[np.int64], NDArray[np.uint32], NDArray[np.uint32], NDArray[np.int64]
    ],
    shard: Shard,
) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    return _core.BoundaryAudit(*arguments).count(shard.tokens, shard.action, shard.offsets)
