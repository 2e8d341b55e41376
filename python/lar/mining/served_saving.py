"""What latents save in the text that engines read.

Mining counts segments of tokens, and an engine finds latents in text. `" the user"` occurs in `" the
username"` too: the engine finds it there and encodes what is left, `name`, by itself. The cost of
such cuts is charged to the latent, so it may save less than its tokens suggest, or cost more than it saves.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from lar import _core
from lar.tokenizer.tokenizer import Tokenizer
from lar.vocabulary.segments import Segments
from lar.vocabulary.served_parse import Served, ServedParse

# Tokens of distinct runs that are audited, as a sample of more. A latent that this sample does not show, or
# that costs nothing there, passes.
AUDITED_TOKENS = 4_000_000


@dataclass(frozen=True)
class ServedSaving:
    """Counts of k latents in runs, in the parse that engines read.

    uses: how often each is found, int64 (k). saved: units by which the text is shorter, net, int64 (k); their
    sum is the whole saving. Each run counts as often as it occurs.
    """

    uses: NDArray[np.int64]
    saved: NDArray[np.int64]


class Audit:
    """Counts what segments save in the text of runs; encoded texts are cached for the next segments.

    A run is a text of its own to an engine: between added tokens, and by one speaker. So distinct runs with
    their numbers tell as much as whole conversations. Runs of one token, in which nothing can be saved, are
    not read.
    """

    def __init__(self, runs: _core.Runs, tokenizer: Tokenizer) -> None:
        """Audit the runs of two tokens or more, or a sample of them."""
        content, offsets = tokenizer.token_bytes()
        self._runs = runs.sample(AUDITED_TOKENS, (content, offsets.astype(np.int64)))
        self._tokenizer = tokenizer

    @cached_property
    def _text(self) -> tuple[NDArray[np.uint32], NDArray[np.int64], NDArray[np.int64]]:
        """Tokens (n), offsets (m + 1) of the runs, and how often each token's run occurs (n)."""
        tokens, offsets, counts, *_ = self._runs.to_arrays()
        return tokens, offsets, np.repeat(counts.astype(np.int64), np.diff(offsets))

    @cached_property
    def _parse(self) -> ServedParse:
        """The parse of the last segments, with all texts that were encoded so far."""
        return ServedParse(self._tokenizer, Segments.of([]))

    def count(self, segments: Segments) -> ServedSaving:
        """The counts of k segments."""
        tokens, offsets, weight = self._text
        self._parse = self._parse.with_segments(segments)
        parsed = self._parse.parse(tokens, np.ones(len(tokens), dtype=np.bool_), offsets)
        return savings(parsed, weight, offsets, self._tokenizer.base_size, len(segments))

    def expected(self, segments: Segments) -> NDArray[np.int64]:
        """Units that each of k segments saves in the parse of the same runs by tokens; int64 (k)."""
        uses = self._runs.count_uses(segments.tokens, segments.offsets)
        saved: NDArray[np.int64] = uses.astype(np.int64) * (segments.lengths - 1)
        return saved


def savings(
    parsed: Served, weight: NDArray[np.int64], offsets: NDArray[np.int64], base_size: int, number: int
) -> ServedSaving:
    """Uses and net savings of `number` latents in m texts of n base tokens.

    `weight` (n): what each base token counts; text i has the tokens offsets[i] to offsets[i + 1] (m + 1). A
    unit saves all but one of the base tokens that begin in it. Where the text was encoded again, the
    difference is credited to the nearest latent of the text.
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
    text = np.searchsorted(offsets, starts, side="right")
    is_after_near = np.abs(credited - before) >= np.abs(after - credited)
    nearest = np.where(text[before] != text[credited], after, before)
    nearest = np.where(is_after_near & (text[after] == text[credited]), after, nearest)
    worth = (begun[credited] - 1) * counted[credited]
    saved = np.bincount(units[nearest] - base_size, weights=worth, minlength=number)
    return ServedSaving(uses, saved.astype(np.int64))
