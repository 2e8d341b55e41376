"""Candidates -> latents: the gates, what each of them costs, and the choice."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lar import _core
from lar.mining.engine_gates.static import BOUNDARY, STATIC_GATES, characters, swallowing, texts_of
from lar.tokenizer.tokenizer import Tokenizer

# Audits after which other candidates take the place of the latents that fail.
ROUNDS = 6


@dataclass(frozen=True)
class Selection:
    """k latents chosen from a pool of candidates, the most useful first.

    chosen: their indices in the pool, uint32 (k); uses: how often the canonical parse of the corpus uses
    each, uint64 (k).
    """

    pool: _core.Candidates
    chosen: NDArray[np.uint32]
    uses: NDArray[np.uint64]

    @property
    def segments(self) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
        """Base ids of the latents, end to end, and their offsets (k + 1)."""
        tokens, bounds, *_ = self.pool.to_arrays()
        starts, ends = bounds[:-1][self.chosen], bounds[1:][self.chosen]
        pieces = [tokens[start:end] for start, end in zip(starts.tolist(), ends.tolist(), strict=True)]
        offsets = np.concatenate([[0], np.cumsum(ends - starts)]).astype(np.int64)
        return np.concatenate([*pieces, tokens[:0]]), offsets

    @property
    def saved(self) -> int:
        """Tokens that the latents save in the corpus."""
        _, offsets, *_ = self.pool.to_arrays()
        lengths = np.diff(offsets)[self.chosen].astype(np.uint64)
        return int((self.uses * (lengths - 1)).sum())

    def among(self, keep: NDArray[np.bool_]) -> "Selection":
        """The same latents, none of which goes, chosen from the candidates for which `keep` is true."""
        places = np.cumsum(keep) - 1
        return Selection(self.pool.filter(keep), places[self.chosen].astype(np.uint32), self.uses)


Audit = Callable[[NDArray[np.uint32], NDArray[np.int64]], NDArray[np.bool_]]


class Selector:
    """Chooses `size` latents by the runs of a corpus, and notes what each gate cost.

    `audit` says of k segments (their tokens end to end, and offsets) which of them fail the gate `boundary`;
    bool (k). `action_tokens` is what reductions are shares of.
    """

    def __init__(
        self, runs: _core.Runs, size: int, tokenizer: Tokenizer, audit: Audit, action_tokens: int
    ) -> None:
        self._runs = runs
        self._size = size
        self._tokenizer = tokenizer
        self._audit = audit
        self._action_tokens = action_tokens
        # Of each gate its name, the candidates that it dropped, and the reduction with all gates up to it.
        self.costs: list[dict[str, Any]] = []

    def select(self, candidates: _core.Candidates, gates: tuple[str, ...]) -> Selection:
        """The latents that pass `gates`; `characters` is always on."""
        whole = characters(candidates, self._tokenizer)
        selection = self._choose(candidates.filter(whole))
        self._note("characters", int((~whole).sum()), selection)
        for name, gate in STATIC_GATES.items():
            if name in gates:
                keep = gate(self._texts(selection.pool), self._tokenizer)
                selection = self._without(selection, ~keep)
                self._note(name, int((~keep).sum()), selection)
        return self._audited(selection) if BOUNDARY in gates else selection

    def _choose(self, pool: _core.Candidates) -> Selection:
        return Selection(pool, *self._runs.select(pool, self._size))

    def _without(self, selection: Selection, dropped: NDArray[np.bool_]) -> Selection:
        """The selection where candidates are dropped: made anew only if a latent is among them."""
        if not dropped[selection.chosen].any():
            return selection.among(~dropped)
        return self._choose(selection.pool.filter(~dropped))

    def _audited(self, selection: Selection) -> Selection:
        """The selection without latents that fail the audit.

        Which texts are found depends on what else is a latent, so each selection has an audit of its own.
        After the last round nothing takes the place of what fails, so that this comes to an end.
        """
        dropped = 0
        for round_ in count(1):
            segments = selection.segments
            texts = texts_of(*segments, self._tokenizer)
            fails = self._audit(*segments) | _repeats(texts) | swallowing(texts, self._tokenizer)
            if not fails.any():
                break
            dropped += int(fails.sum())
            drop = np.full(len(selection.pool), round_ >= ROUNDS)
            drop[selection.chosen] = fails
            selection = self._without(selection, drop)
        self._note(BOUNDARY, dropped, selection, audits=round_)
        return selection

    def _texts(self, pool: _core.Candidates) -> list[str]:
        tokens, offsets, *_ = pool.to_arrays()
        return texts_of(tokens, offsets, self._tokenizer)

    def _note(self, name: str, dropped: int, selection: Selection, **more: int) -> None:
        reduction = round(selection.saved / self._action_tokens, 6)
        self.costs.append({"name": name, "candidates_dropped": dropped, "reduction": reduction, **more})


def _repeats(texts: list[str]) -> NDArray[np.bool_]:
    """Which texts stand before: an added token's text has one id, however it was spelt; bool (k)."""
    first = {text: index for index, text in reversed(list(enumerate(texts)))}
    return np.array([first[text] != index for index, text in enumerate(texts)], dtype=np.bool_)
