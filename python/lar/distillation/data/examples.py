"""From conversations to training examples: windows of units aligned with base tokens.

Examples are cut and parsed on access, from memory-mapped shards. The parse is orders of magnitude faster than
a training step, and a corpus of any size takes only the memory of its masks.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, overload

import numpy as np
from numpy.typing import NDArray

from lar.corpus import Corpus, Shard
from lar.corpus.shards import read_shard
from lar.corpus.windows import Window, windows
from lar.distillation.data.branches import Branched, branched, turn_numbers
from lar.distillation.data.latent_dropout import drawn, spelled
from lar.errors import CorpusError
from lar.scoring.store import CachedTeacher, TopTokens
from lar.vocabulary.latent import Latent
from lar.vocabulary.vocabulary import LatentVocabulary, Reparameterized


@dataclass(frozen=True, slots=True)
class Example:
    """A window of n base tokens in u units.

    units: int64 (u). tokens: int64 (n). starts: int64 (u), the position in `tokens` of the token in which
    each unit's first byte lies. begins: bool (u), whether the unit begins where that token does.
    supervised: int64 (t), the indices (1 and above) of the agent's units that the loss falls on.
    has_teacher: bool (t), whether the teacher has a distribution before the supervised unit: the unit begins
    where a base token of the conversation begins that is also its own first one.
    top: a cached teacher's distributions before the t supervised units; None without a cache.
    branched: the row of a student that reads base tokens; None for one that reads latents.
    """

    units: NDArray[np.int64]
    tokens: NDArray[np.int64]
    starts: NDArray[np.int64]
    begins: NDArray[np.bool_]
    supervised: NDArray[np.int64]
    has_teacher: NDArray[np.bool_]
    top: TopTokens | None = None
    branched: Branched | None = None


class Examples(Sequence[Example]):
    """The windows of every conversation with text of the agent, in the corpus's order.

    A vocabulary without latents gives the control's examples: units are base tokens. Windows are the same
    with every vocabulary (`lar.corpus.windows`). lengths: int64 (m), the base tokens of each example.

    The shards are memory-mapped once, when the windows are planned. Only masks and names take memory. A
    corpus that is built anew in the same folder changes nothing here.
    """

    def __init__(
        self,
        corpus: Corpus,
        vocabulary: LatentVocabulary,
        max_length: int,
        teacher: CachedTeacher | None = None,
        latent_dropout: float = 0.0,
        seed: int = 0,
        *,
        decode_only: bool = False,
    ) -> None:
        """Plan the windows; `teacher` adds a cached teacher's distributions.

        A share `latent_dropout` of the agent's latents is spelled out, drawn by `seed`, others each epoch.
        With `decode_only`, examples are for a student that reads base tokens (see `branches`).

        Raises:
            CorpusError: corpus and vocabulary have different tokenizers, or a part of the corpus has no
            scores of this teacher.
        """
        if corpus.manifest.tokenizer_fingerprint != vocabulary.tokenizer_fingerprint:
            raise CorpusError(f"{corpus.path}: made with another tokenizer than the vocabulary")
        self.vocabulary = vocabulary
        self.max_length = max_length
        self.teacher = teacher
        self._latent_dropout, self._seed, self._epoch = latent_dropout, seed, 0
        self._decode_only = decode_only and len(vocabulary) > 0  # otherwise units are tokens
        self._plan: list[tuple[Shard, int, Window]] = []
        for file in corpus.shard_files():
            shard = read_shard(file.path)
            if teacher is not None:
                teacher.likely(shard)  # missing scores are an error here and not in the run
            chosen = np.arange(len(shard.tasks)) if file.keep is None else np.flatnonzero(file.keep)
            for row in chosen.tolist():
                begin, end = shard.offsets[row : row + 2].tolist()
                for window in windows(shard.action[begin:end], max_length):
                    self._plan.append((shard, row, window))
        self.lengths = np.array([len(window) for *_, window in self._plan], dtype=np.int64)

    def __len__(self) -> int:
        """The number of windows."""
        return len(self._plan)

    @overload
    def __getitem__(self, index: int) -> Example: ...
    @overload
    def __getitem__(self, index: slice) -> list[Example]: ...
    def __getitem__(self, index: int | slice) -> Example | list[Example]:
        """The example of one window, or those of several."""
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        shard, row, window = self._plan[index]
        begin, end = shard.offsets[row : row + 2].tolist()
        tokens, action = shard.tokens[begin:end], shard.action[begin:end]
        parsed = self.vocabulary.reparameterize(tokens, action)
        if self._latent_dropout:
            draw = (self._seed, self._epoch, index)
            chosen = drawn(parsed, self.vocabulary.base_size, self._latent_dropout, draw)
            parsed = spelled(parsed, tokens, chosen)
        example = cut(tokens, parsed, self.vocabulary, window)
        if self._decode_only:
            example = _with_branches(example, turn_numbers(action, window))
        if self.teacher is None:
            return example
        positions = window.positions()[example.starts[example.supervised]]
        return replace(example, top=self.teacher.top(shard, row, positions))

    def set_epoch(self, epoch: int) -> None:
        """Draw the latents that are spelled out anew."""
        self._epoch = epoch

    def conversation(self, index: int) -> str:
        """The id of the window's trajectory."""
        shard, row, _ = self._plan[index]
        return shard.ids[row]

    def latents_cut(self) -> list[Latent]:
        """The latents that a window's edge may cut: those longer than what two windows share, a quarter.

        Where no window holds one whole, its text is learnt and measured in base tokens (see `cut`). Empty if
        each conversation is one window.
        """
        if len({(id(shard), row) for shard, row, _ in self._plan}) == len(self):
            return []
        return [latent for latent in self.vocabulary.latents if len(latent) > self.max_length // 4]

    def digest(self) -> str:
        """SHA-256 (hex) of the windows' positions and tokens and of the vocabulary's segments."""
        digest = hashlib.sha256(self.vocabulary.segments.tokens.tobytes())
        last = None
        for shard, row, window in self._plan:
            begin, end = shard.offsets[row : row + 2].tolist()
            digest.update(repr((begin, end, window)).encode())
            place = (id(shard), row)
            if place != last:  # a long conversation has many windows
                digest.update(shard.tokens[begin:end].tobytes())
            last = place
        return digest.hexdigest()

    def mask_digest(self) -> str:
        """SHA-256 (hex) of which tokens of the windows' conversations are the agent's, in their order.

        `digest` does not cover it, and stays as it is: earlier versions wrote it beside checkpoints.
        """
        digest = hashlib.sha256()
        last = None
        for shard, row, _ in self._plan:
            place = (id(shard), row)
            if place != last:
                begin, end = shard.offsets[row : row + 2].tolist()
                digest.update(shard.action[begin:end].tobytes())
            last = place
        return digest.hexdigest()


def _with_branches(example: Example, turns: NDArray[np.int64]) -> Example:
    row = (example.units, example.tokens, example.starts, turns, example.supervised)
    return replace(example, branched=branched(*row))


def cut(
    tokens: NDArray[np.uint32], parsed: Reparameterized, vocabulary: LatentVocabulary, window: Window
) -> Example:
    """The example of a window of one conversation: its base ids (n) and their parse by `vocabulary`.

    Units that begin and end together with base tokens form a group: one unit, or several if a latent ends
    inside a token. If the window's edge cuts through a group, its base tokens within the window are read
    instead and not supervised: the window that holds the whole group supervises it. A group that no window
    holds whole is supervised token by token. So is the agent's group at a conversation's start, but for its
    first token: nothing is before that one, and nothing could be learnt or measured of a whole latent there.
    """
    parts = [(0, window.head), (window.begin, window.end)]
    if window.begin == window.head:
        parts = [(0, window.end)]
    pieces = [_piece(tokens, parsed, begin, end, window) for begin, end in parts]
    before = np.cumsum([0, *(end - begin for begin, end in parts)])
    moves = [place - begin for place, (begin, _) in zip(before.tolist(), parts, strict=False)]
    starts = np.concatenate([piece.starts + move for piece, move in zip(pieces, moves, strict=True)])
    units = np.concatenate([piece.units for piece in pieces]).astype(np.int64)
    begins = np.concatenate([piece.begins for piece in pieces])
    agent = np.concatenate([piece.action for piece in pieces])
    ends = np.concatenate([piece.ends for piece in pieces])
    supervised = np.flatnonzero(agent & (ends > window.new))
    supervised = supervised[supervised > 0]
    read = tokens[window.positions()].astype(np.int64)
    first = vocabulary.first_tokens_of(units[supervised])
    has_teacher = begins[supervised] & (first == read[starts[supervised]])
    return Example(units, read, starts, begins, supervised, has_teacher)


class _Piece(NamedTuple):
    """Units of a part of a conversation, with the fields of `Example`, and where the group of each ends."""

    units: NDArray[np.uint32]
    starts: NDArray[np.int64]
    begins: NDArray[np.bool_]
    ends: NDArray[np.int64]
    action: NDArray[np.bool_]


def _piece(
    tokens: NDArray[np.uint32], parsed: Reparameterized, begin: int, end: int, window: Window
) -> _Piece:
    """The units of the base positions [begin, end); `action`: whether they may be supervised."""
    # Where groups begin, as units and as positions; the last entry is the conversation's end.
    groups = np.flatnonzero(parsed.begins)
    borders = parsed.starts[groups]
    first_group = int(np.searchsorted(borders, begin, side="left"))
    if begin == 0 and parsed.action[0]:
        first_group = 1  # the first group is read as tokens, see `cut`
    last_group = max(first_group, int(np.searchsorted(borders, end, side="right")) - 1)
    first, last = groups[[first_group, last_group]].tolist()
    inner = np.minimum(borders[[first_group, last_group]], end)
    before, after = np.arange(begin, inner[0]), np.arange(inner[1], end)
    # The group before `first` began too early for this window; the one after `last` ends too late.
    cut_before = len(before) > 0 and parsed.action[first - 1]
    cut_after = (
        last < len(parsed.units)
        and parsed.action[last]
        # Otherwise the next window holds it whole.
        and (borders[last_group] < window.next_begin or borders[last_group + 1] > window.next_end)
    )
    group_of = np.searchsorted(groups, np.arange(first, last), side="right")
    return _Piece(
        np.concatenate([tokens[before], parsed.units[first:last], tokens[after]]),
        np.concatenate([before, parsed.starts[first:last], after]),
        np.concatenate([np.ones_like(before, bool), parsed.begins[first:last], np.ones_like(after, bool)]),
        np.concatenate([before + 1, borders[group_of], after + 1]),
        np.concatenate(
            [np.full(len(before), cut_before), parsed.action[first:last], np.full(len(after), cut_after)]
        ),
    )
