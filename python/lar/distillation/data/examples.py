"""From conversations to training examples: windows of units that face base tokens.

Examples are cut and parsed when they are asked for, out of memory-mapped shards: the parse is faster than
any training step by orders of magnitude, so a corpus of any size takes no more memory than its masks.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import overload

import numpy as np
from numpy.typing import NDArray

from lar.corpus import Corpus, Shard
from lar.corpus.shards import read_shard
from lar.corpus.windows import Window, windows
from lar.errors import CorpusError
from lar.scoring.store import CachedTeacher, TopTokens
from lar.vocabulary.vocabulary import LatentVocabulary, Reparameterized


@dataclass(frozen=True, slots=True)
class Example:
    """A window of u units that stand for n base tokens.

    units: int64 (u); tokens: int64 (n); starts: int64 (u), the position in `tokens` of each unit's first
    token; taught: int64 (t), the indices (1 and above) of the agent's units that the loss falls on.
    top: a cached teacher's distributions before the t taught units; None without a cache.
    """

    units: NDArray[np.int64]
    tokens: NDArray[np.int64]
    starts: NDArray[np.int64]
    taught: NDArray[np.int64]
    top: TopTokens | None = None


class Examples(Sequence[Example]):
    """The windows of every conversation in which the agent says something, in the corpus's order.

    A vocabulary without latents gives the control's examples: units are base tokens. Windows are the same
    for every vocabulary (`lar.corpus.windows`). lengths: int64 (m), base tokens of each example.

    The shards are mapped once, when the windows are planned. Their arrays are views of the files, so only
    masks and names take memory, and a corpus built anew in the same folder changes nothing here.
    """

    def __init__(
        self,
        corpus: Corpus,
        vocabulary: LatentVocabulary,
        max_length: int,
        teacher: CachedTeacher | None = None,
    ) -> None:
        """Plan the windows; `teacher` adds a cached teacher's distributions.

        Raises:
            CorpusError: corpus and vocabulary are of different tokenizers, or a part of the corpus has no
            scores of this teacher.
        """
        if corpus.manifest.tokenizer_fingerprint != vocabulary.tokenizer_fingerprint:
            raise CorpusError(f"{corpus.path}: made with another tokenizer than the vocabulary")
        self.vocabulary = vocabulary
        self._teacher = teacher
        self._plan: list[tuple[Shard, int, Window]] = []
        for file in corpus.shard_files():
            shard = read_shard(file.path)
            if teacher is not None:
                teacher.likely(shard)  # so that what is missing is refused here
            chosen = np.arange(len(shard.tasks)) if file.keep is None else np.flatnonzero(file.keep)
            for row in chosen.tolist():
                begin, end = shard.offsets[row : row + 2].tolist()
                for window in windows(shard.action[begin:end], max_length):
                    self._plan.append((shard, row, window))
        self.lengths = np.array([len(window) for *_, window in self._plan], dtype=np.int64)

    def __len__(self) -> int:
        """How many windows there are."""
        return len(self._plan)

    @overload
    def __getitem__(self, index: int) -> Example: ...
    @overload
    def __getitem__(self, index: slice) -> list[Example]: ...
    def __getitem__(self, index: int | slice) -> Example | list[Example]:
        """Cut and parse one window, or several."""
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        shard, row, window = self._plan[index]
        begin, end = shard.offsets[row : row + 2].tolist()
        tokens, action = shard.tokens[begin:end], shard.action[begin:end]
        example = cut(tokens, self.vocabulary.reparameterize(tokens, action), window)
        if self._teacher is None:
            return example
        positions = window.positions()[example.starts[example.taught]]
        return replace(example, top=self._teacher.top(shard, row, positions))

    def conversation(self, index: int) -> str:
        """The id of the trajectory that the window is of."""
        shard, row, _ = self._plan[index]
        return shard.ids[row]

    def digest(self) -> str:
        """SHA-256 (hex) of all windows' places and texts and of the segments."""
        digest = hashlib.sha256(self.vocabulary.segments.tokens.tobytes())
        for shard, row, window in self._plan:
            begin, end = shard.offsets[row : row + 2].tolist()
            digest.update(repr((begin, end, window)).encode())
            digest.update(shard.tokens[begin:end].tobytes())
        return digest.hexdigest()


def cut(tokens: NDArray[np.uint32], parsed: Reparameterized, window: Window) -> Example:
    """The example of a window of one conversation, base ids (n) and their canonical parse.

    A unit that the window's edge cuts through stands there as the base tokens that are left of it, to be read
    only: it is taught by the window that holds it whole. One that none does is taught token by token.
    """
    parts = [(0, window.head), (window.begin, window.end)]
    if window.begin == window.head:
        parts = [(0, window.end)]
    pieces = [_piece(tokens, parsed, begin, end, window.next_begin) for begin, end in parts]
    units, ends, agent = (np.concatenate(column) for column in zip(*pieces, strict=True))
    places = zip(pieces, parts, strict=True)
    lengths = np.concatenate([np.diff(piece[1], prepend=begin) for piece, (begin, _) in places])
    local = np.cumsum(lengths) - lengths
    taught = np.flatnonzero(agent & (ends > window.new))
    positions = window.positions()
    return Example(units.astype(np.int64), tokens[positions].astype(np.int64), local, taught[taught > 0])


def _piece(
    tokens: NDArray[np.uint32], parsed: Reparameterized, begin: int, end: int, next_begin: int
) -> tuple[NDArray[np.uint32], NDArray[np.int64], NDArray[np.bool_]]:
    """The units of [begin, end), where each ends, and whether the agent's loss may fall on it here."""
    starts, count = parsed.starts, len(parsed.units)
    first = int(np.searchsorted(starts, begin, side="left"))
    last = max(first, int(np.searchsorted(starts, end, side="right")) - 1)
    inner = np.minimum(starts[[first, last]], end)
    before, after = np.arange(begin, inner[0]), np.arange(inner[1], end)
    # The unit before `first` began too early for this window; the one after `last` ends too late.
    cut_before = len(before) > 0 and parsed.action[first - 1]
    cut_after = last < count and parsed.action[last] and starts[last] < next_begin
    return (
        np.concatenate([tokens[before], parsed.units[first:last], tokens[after]]),
        np.concatenate([before + 1, starts[first + 1 : last + 1], after + 1]),
        np.concatenate(
            [np.full(len(before), cut_before), parsed.action[first:last], np.full(len(after), cut_after)]
        ),
    )
