"""Candidates -> latents: the engine gates, what each of them costs, and the choice."""

from collections.abc import Callable, Sequence
from itertools import compress
from operator import attrgetter
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lar import _core
from lar.mining.engine_gates.static import (
    BORDER,
    SERVED,
    STATIC_GATES,
    clashes_at_headers,
    texts_of,
    whole_characters,
)
from lar.tokenizer.tokenizer import Tokenizer
from lar.vocabulary.segments import Segments

Crosses = Callable[[Sequence[str]], NDArray[np.bool_]]
Saving = Callable[[_core.Selection], int]
ServedAudit = Callable[[_core.Selection, Sequence[str]], NDArray[np.bool_]]


class Selector:
    """Chooses `size` latents by the runs of a corpus, and records what each gate cost.

    `crosses` returns which of k texts fail the gate `border`, and `audit` which segments of a selection of k,
    with their texts, fail the gate `served`; bool (k). A reduction is what `saving` returns for a selection,
    divided by `total`, the weight of the corpus's tokens. `held` are the segments of a vocabulary that is
    updated, which are preferred.
    """

    def __init__(
        self,
        runs: _core.Runs,
        size: int,
        tokenizer: Tokenizer,
        crosses: Crosses,
        audit: ServedAudit,
        total: int,
        held: Segments | None = None,
        *,
        saving: Saving = attrgetter("saving"),
    ) -> None:
        self._runs = runs
        self._size = size
        self._tokenizer = tokenizer
        self._crosses = crosses
        self._audit = audit
        self._total = total
        self._saving = saving
        self._held = set() if held is None else set(map(tuple, held.to_lists()))
        # Of each gate its name, the candidates that it dropped, and the reduction with all gates up to it.
        self.costs: list[dict[str, Any]] = []
        self.failed: set[tuple[int, ...]] = set()  # segments that have failed the gate `served`

    def select(self, candidates: _core.Candidates, gates: tuple[str, ...]) -> _core.Selection:
        """The latents that pass `gates`; `characters` is always on."""
        whole = whole_characters(candidates, self._tokenizer)
        pool = candidates.filter(whole)
        selection = self._runs.select(pool, self._size, self._is_held(pool))
        self._note("characters", int((~whole).sum()), selection)
        texts: list[str] = []
        if any(name in gates for name in (*STATIC_GATES, BORDER)):
            tokens, offsets, *_ = selection.pool.to_arrays()
            texts = texts_of(Segments(tokens, offsets), self._tokenizer)
        for name, gate in STATIC_GATES.items():
            if name in gates:
                keep = gate(texts, self._tokenizer)
                selection = selection.without(~keep)
                texts = list(compress(texts, keep))
                self._note(name, int((~keep).sum()), selection)
        if BORDER in gates:
            crosses = self._crosses(texts)
            selection = selection.without(crosses)
            self._note(BORDER, int(crosses.sum()), selection)
        if SERVED in gates:
            selection, dropped, audits = selection.audited(self._fails)
            self._note(SERVED, dropped, selection, audits=audits)
        return selection

    def passing(self, candidates: _core.Candidates, static: "TextGates", *, border: bool) -> _core.Candidates:
        """The candidates that pass `static`, and with `border` that gate: what no other latent can change."""
        pool = candidates.filter(whole_characters(candidates, self._tokenizer))
        tokens, offsets, *_ = pool.to_arrays()
        texts = texts_of(Segments(tokens, offsets), self._tokenizer)
        keep = static.of(texts, self._tokenizer)
        if border:
            keep &= ~self._crosses(texts)
        return pool.filter(keep)

    def _is_held(self, candidates: _core.Candidates) -> NDArray[np.bool_]:
        """Which of n candidates are latents of the vocabulary that is updated; bool (n)."""
        if not self._held:
            return np.zeros(len(candidates), dtype=np.bool_)
        tokens, offsets, *_ = candidates.to_arrays()
        listed = Segments(tokens, offsets).to_lists()
        return np.array([tuple(segment) in self._held for segment in listed], dtype=np.bool_)

    def _fails(self, selection: _core.Selection) -> NDArray[np.bool_]:
        """Which of the chosen segments fail: the texts that are found depend on the other latents."""
        tokens, offsets, _, _, uses = selection.to_arrays()
        segments = Segments(tokens, offsets)
        texts = texts_of(segments, self._tokenizer)
        worth = uses.astype(np.int64) * (segments.lengths - 1)
        clashes = clashes_at_headers(texts, worth, self._tokenizer)
        fails = self._audit(selection, texts) | _repeats(texts) | clashes
        self.failed.update(map(tuple, compress(segments.to_lists(), fails)))
        return fails

    def _note(self, name: str, dropped: int, selection: _core.Selection, **more: int) -> None:
        reduction = round(self._saving(selection) / self._total, 6)
        self.costs.append({"name": name, "candidates_dropped": dropped, "reduction": reduction, **more})


class TextGates:
    """The gates that look at a text alone, for one tokenizer; each text is asked once.

    Minings of parts of one corpus share most of their candidates. May be shared between threads.
    """

    def __init__(self, gates: tuple[str, ...]) -> None:
        """Take the names of gates; those that are no static gates are left out."""
        self._gates = tuple(gate for name, gate in STATIC_GATES.items() if name in gates)
        self._passes: dict[str, bool] = {}
        self._asking = Lock()

    def of(self, texts: Sequence[str], tokenizer: Tokenizer) -> NDArray[np.bool_]:
        """Which of k texts pass all of the gates; bool (k)."""
        with self._asking:
            new = list(dict.fromkeys(text for text in texts if text not in self._passes))
            self._passes.update(dict.fromkeys(new, False))
            for gate in self._gates:
                new = list(compress(new, gate(new, tokenizer)))
            self._passes.update(dict.fromkeys(new, True))
            return np.array([self._passes[text] for text in texts], dtype=np.bool_)


def _repeats(texts: list[str]) -> NDArray[np.bool_]:
    """Which texts occur earlier in the list: an added token's text has one id; bool (k)."""
    first = {text: index for index, text in reversed(list(enumerate(texts)))}
    return np.array([first[text] != index for index, text in enumerate(texts)], dtype=np.bool_)
