"""The gate that reads the corpus: latents whose text is found where their tokens are not.

Engines find added tokens in text. `" the user"` occurs in `" the username"` too, and there the base tokens
are others: the prompt that an engine encodes would not be what the student has learnt to read.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from lar import _core
from lar.corpus import Corpus, Shard
from lar.corpus.backend import Backend
from lar.tokenizer.tokenizer import Tokenizer
from lar.utils.progress import Progress, silent
from lar.vocabulary.segments import Segments


@dataclass(frozen=True)
class Misalignment:
    """Of each of k latents: the occurrences of its text (k), and those that are not its own tokens (k)."""

    found: NDArray[np.uint64]
    misaligned: NDArray[np.uint64]

    def exceeds(self, share: float) -> NDArray[np.bool_]:
        """Which latents are misaligned in more than this share of their occurrences; bool (k)."""
        return self.misaligned > share * self.found


def misalignment(
    corpus: Corpus, segments: Segments, backend: Backend, progress: Progress = silent
) -> Misalignment:
    """Count in whole conversations, all speakers' text, as an engine would find the latents."""
    found = np.zeros(len(segments), dtype=np.uint64)
    misaligned = found.copy()
    for of_shard in backend.map_shards(_Audit(corpus.tokenizer, segments), corpus, progress):
        found += of_shard[0]
        misaligned += of_shard[1]
    return Misalignment(found, misaligned)


class _Audit:
    """Counts in a shard; each process that an audit is sent to compiles it once."""

    def __init__(self, tokenizer: Tokenizer, segments: Segments) -> None:
        content, offsets = tokenizer.token_bytes()
        self._table = content, offsets.astype(np.int64), tokenizer.barriers
        self._segments = segments

    def __call__(self, shard: Shard) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
        return self._compiled.count(shard.tokens, shard.action, shard.offsets)

    @cached_property
    def _compiled(self) -> _core.BoundaryAudit:
        return _core.BoundaryAudit(*self._table, self._segments.tokens, self._segments.offsets)
