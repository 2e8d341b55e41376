r"""Where one speaker's text ends and another's begins, and which latents would be found across such a border.

The ids of a prompt must begin those of the conversation that continues it: otherwise the student reads other
units than it wrote, and an engine cannot reuse its cache in the next turn. A latent found across the border
of two turns would break that. Where the template ends a turn with an added token, nothing is found across;
but the header of the agent's turn usually ends with a newline, and `"\nThought"` is found where a turn begins
with `Thought`.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from lar.corpus import Corpus, Shard
from lar.corpus.backend import Backend, map_shards
from lar.tokenizer.tokenizer import Tokenizer
from lar.utils.progress import Progress, silent

# Bytes before a border and after it that are compared. Longer latents count as found if these fit.
_BEFORE = 24
_AFTER = 96
# Borders in memory, with up to a kilobyte each. Texts are asked again for each further so many.
_HELD = 200_000

Border = tuple[bytes, bytes]


class TurnBorders:
    """Borders of turns: for each ending of a text before one, the texts that follow."""

    def __init__(self, borders: Iterable[Border]) -> None:
        """Take the distinct borders, each at most `_BEFORE` bytes before it and `_AFTER` after it."""
        following: dict[bytes, set[bytes]] = defaultdict(set)
        for before, after in borders:
            for length in range(1, len(before) + 1):
                following[before[-length:]].add(after)
        self._following = {before: sorted(after) for before, after in following.items()}
        # Borders lie after few different bytes: a text is searched only after those.
        self._last = frozenset(before[-1] for before in self._following)

    def crossed_by(self, texts: Sequence[str]) -> NDArray[np.bool_]:
        """Which texts occur across a border; bool (k)."""
        return np.fromiter((self._is_crossed(text.encode()) for text in texts), np.bool_, len(texts))

    def _is_crossed(self, text: bytes) -> bool:
        return any(
            _begins_one(
                text[place : place + _AFTER], self._following.get(text[max(0, place - _BEFORE) : place], ())
            )
            for place in range(1, len(text))
            if text[place - 1] in self._last
        )


def crossed_in(
    corpus: Corpus, texts: Sequence[str], backend: Backend | None = None, progress: Progress = silent
) -> NDArray[np.bool_]:
    """Which of k texts occur across a border of a conversation; bool (k). One pass over the shards."""
    crossed = np.zeros(len(texts), dtype=np.bool_)
    for borders in _batches(map_shards(partial(borders_of, corpus.tokenizer), corpus, backend, progress)):
        left = np.flatnonzero(~crossed)
        crossed[left] = TurnBorders(borders).crossed_by([texts[index] for index in left.tolist()])
    return crossed


def _batches(shards: Iterable[set[Border]]) -> Iterator[set[Border]]:
    """The distinct borders of shards, about `_HELD` at a time: a corpus has nearly as many as turns."""
    held: set[Border] = set()
    for of_shard in shards:
        held |= of_shard
        if len(held) >= _HELD:
            yield held
            held = set()
    yield held


def _begins_one(start: bytes, ordered: Sequence[bytes]) -> bool:
    """Whether one of the sorted texts begins with `start`."""
    place = bisect_left(ordered, start)
    return place < len(ordered) and ordered[place].startswith(start)


def borders_of(tokenizer: Tokenizer, shard: Shard) -> set[Border]:
    """The borders of a shard that no added token marks: the bytes before each, and after it."""
    is_barrier = np.zeros(tokenizer.base_size, dtype=np.bool_)
    is_barrier[tokenizer.barriers] = True
    # Texts end at an added token and at a conversation's end.
    ends = np.union1d(np.flatnonzero(is_barrier[shard.tokens]), shard.offsets)
    begins = np.union1d(np.flatnonzero(is_barrier[shard.tokens]) + 1, shard.offsets)
    places = np.setdiff1d(np.flatnonzero(np.diff(shard.action)) + 1, np.union1d(begins, ends))
    first = begins[np.searchsorted(begins, places, side="right") - 1]
    last = ends[np.searchsorted(ends, places)]
    rows = zip(places.tolist(), first.tolist(), last.tolist(), strict=True)
    return {_border(tokenizer, shard.tokens, place, begin, end) for place, begin, end in rows}


def _border(tokenizer: Tokenizer, tokens: NDArray[np.uint32], place: int, begin: int, end: int) -> Border:
    """The border before token `place` of the text [begin, end); used tokens have a byte at least."""
    before = tokenizer.bytes_of(tokens[max(begin, place - _BEFORE) : place])
    after = tokenizer.bytes_of(tokens[place : min(end, place + _AFTER)])
    return before[-_BEFORE:], after[:_AFTER]
