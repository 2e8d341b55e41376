"""What latents save in the text that engines read.

Mining counts segments of tokens, and an engine finds latents in text. `" the user"` occurs in `" the
username"` too: the engine finds it there and encodes what is left, `name`, by itself. The cost of
such cuts is charged to the latent, so it may save less than its tokens suggest, or cost more than it saves.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lar.corpus import Corpus, Shard
from lar.corpus.backend import Backend
from lar.mining.token_weights import TokenWeights
from lar.tokenizer.tokenizer import Tokenizer
from lar.utils.progress import Progress, silent
from lar.vocabulary.segments import Segments
from lar.vocabulary.served_parse import Served, ServedParse


@dataclass(frozen=True)
class ServedSaving:
    """Counts of k latents over a corpus, in the parse that engines read.

    uses: in the text that counts, int64 (k). saved: units by which that text is shorter, net, int64 (k);
    their sum is the whole saving. Both are multiplied by the weight of the text.
    """

    uses: NDArray[np.int64]
    saved: NDArray[np.int64]

    def __add__(self, other: "ServedSaving") -> "ServedSaving":
        return ServedSaving(self.uses + other.uses, self.saved + other.saved)


class Audit:
    """Counts what segments save in a corpus; encoded texts are cached for the next segments."""

    def __init__(self, corpus: Corpus, backend: Backend, weights: TokenWeights | None = None) -> None:
        """Count by `weights` (None: only the agent's text)."""
        self._corpus = corpus
        self._backend = backend
        self._empty = _Count(corpus.tokenizer, Segments.of([]), weights or TokenWeights())

    def count(self, segments: Segments, progress: Progress = silent) -> ServedSaving:
        """The counts of k segments over all shards."""
        count = self._empty.with_segments(segments)
        none = np.zeros(len(segments), dtype=np.int64)
        found = ServedSaving(none, none)
        for of_shard in self._backend.map_shards(count, self._corpus, progress):
            found += of_shard
        self._empty = count
        return found


class _Count:
    """Counts in a shard; a process compiles the parse when it counts for the first time."""

    def __init__(self, tokenizer: Tokenizer, segments: Segments, weights: TokenWeights) -> None:
        self._weights = weights
        self._tokenizer = tokenizer
        self._segments = segments
        self._parse: ServedParse | None = None

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_parse": None}

    def with_segments(self, segments: Segments) -> "_Count":
        """The count of other segments."""
        other = _Count(self._tokenizer, segments, self._weights)
        other._parse = self._parse and self._parse.with_segments(segments)
        return other

    def __call__(self, shard: Shard) -> ServedSaving:
        if self._parse is None:
            self._parse = ServedParse(self._tokenizer, self._segments)
        parsed = self._parse.parse(shard.tokens, shard.action, shard.offsets)
        weight = np.where(shard.action, self._weights.generated, self._weights.prompt)
        return savings(parsed, weight, self._tokenizer.base_size, len(self._segments))


def savings(parsed: Served, weight: NDArray[np.int64], base_size: int, number: int) -> ServedSaving:
    """Uses and net savings of `number` latents in conversations.

    `weight` (n): what each base token counts. A unit saves all but one of the base tokens that begin in it.
    Where the text was encoded again, the difference is credited to the nearest latent.
    """
    units, starts, begins = parsed
    begun = np.diff(np.append(starts + ~begins, len(weight)))
    counted = weight[starts]
    latents = np.flatnonzero(units >= base_size)
    own = latents[counted[latents] > 0]
    uses = np.bincount(units[own] - base_size, weights=counted[own], minlength=number).astype(np.int64)
    credited = np.flatnonzero((counted > 0) & (begun != 1))
    if not len(latents):
        return ServedSaving(uses, np.zeros(number, dtype=np.int64))
    after = np.searchsorted(latents, credited)
    before = latents[np.maximum(after - 1, 0)]
    after = latents[np.minimum(after, len(latents) - 1)]
    nearest = np.where(np.abs(credited - before) < np.abs(after - credited), before, after)
    worth = (begun[credited] - 1) * counted[credited]
    saved = np.bincount(units[nearest] - base_size, weights=worth, minlength=number)
    return ServedSaving(uses, saved.astype(np.int64))
