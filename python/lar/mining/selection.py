"""Candidates -> latents: the engine gates, what each of them costs, and the choice."""

from collections.abc import Callable, Sequence
from itertools import compress
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
from lar.mining.options import MiningOptions
from lar.mining.served_saving import Audit
from lar.mining.shadowing import at_fault
from lar.tokenizer.tokenizer import Tokenizer
from lar.utils.progress import Progress, annotate, silent
from lar.vocabulary.segments import Segments

Crosses = Callable[[Sequence[str]], NDArray[np.bool_]]

# The last audit in which a latent that fails stays if another is at fault: the third one in which nothing
# replaces what fails. Later ones drop it, so that they come to an end sooner.
_BLAMING_AUDITS = _core.REPLACING_AUDITS + 2


class Selector:
    """Chooses `size` latents by the runs of a corpus, and records what each gate cost.

    `crosses` returns which of k texts fail the gate `border`, bool (k). A latent fails the gate `served` if
    it saves less than `min_kept` of what `audit` expects of it. A reduction is what the latents save in the
    audited runs, divided by `total`, the weight of the corpus's tokens. `held` are the segments of a
    vocabulary that is updated, which are preferred. `static` are the gates that look at a text alone, where
    several selectors share their answers.
    """

    def __init__(
        self,
        runs: _core.Runs,
        size: int,
        tokenizer: Tokenizer,
        crosses: Crosses,
        audit: Audit,
        total: int,
        held: Segments | None = None,
        *,
        min_kept: float = MiningOptions.min_kept,
        static: "TextGates | None" = None,
        progress: Progress = silent,
    ) -> None:
        self._runs = runs
        self._size = size
        self._tokenizer = tokenizer
        self._crosses = crosses
        self._audit = audit
        self._total = total
        self._min_kept = min_kept
        self._static = static or TextGates()
        self._progress = progress
        self._held = set() if held is None else set(map(tuple, held.to_lists()))
        # Of each gate its name, the candidates that it dropped, and the reduction with all gates up to it.
        self.costs: list[dict[str, Any]] = []
        self.failed: set[tuple[int, ...]] = set()  # segments that have failed the gate `served`
        self._audits = 0

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
        for name in STATIC_GATES:
            if name in gates:
                keep = self._static.of_gate(name, texts, self._tokenizer)
                selection = selection.without(~keep)
                texts = list(compress(texts, keep))
                self._note(name, int((~keep).sum()), selection)
        if BORDER in gates:
            crosses = self._crosses(texts)
            selection = selection.without(crosses)
            self._note(BORDER, int(crosses.sum()), selection)
        if SERVED in gates:
            annotate(self._progress, "savings in the text that engines read")
            selection, dropped, audits = selection.audited(self._fails)
            self._note(SERVED, dropped, selection, audits=audits)
        return selection

    def passing(self, candidates: _core.Candidates, *, border: bool) -> _core.Candidates:
        """The candidates that pass what no other latent can change: gates on a text, and `border`."""
        pool = candidates.filter(whole_characters(candidates, self._tokenizer))
        tokens, offsets, *_ = pool.to_arrays()
        texts = texts_of(Segments(tokens, offsets), self._tokenizer)
        keep = self._static.of(texts, self._tokenizer)
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
        self._audits += 1
        segments = Segments(*selection.segments())
        texts = texts_of(segments, self._tokenizer)
        saved, expected = self._audit.count(segments).saved, self._audit.expected(segments)
        if self._audits <= _BLAMING_AUDITS:
            fails = at_fault(texts, saved, expected, self._min_kept)
        else:
            fails = saved < self._min_kept * expected
        fails |= _repeats(texts) | clashes_at_headers(texts, expected, self._tokenizer)
        self.failed.update(map(tuple, compress(segments.to_lists(), fails)))
        return fails

    def _note(self, name: str, dropped: int, selection: _core.Selection, **more: int) -> None:
        saved = int(self._audit.expected(Segments(*selection.segments())).sum())
        reduction = round(saved / self._total, 6)
        self.costs.append({"name": name, "candidates_dropped": dropped, "reduction": reduction, **more})


class TextGates:
    """The gates that look at a text alone, for one tokenizer; each text is asked once.

    Minings of parts of one corpus share most of their candidates. May be shared between threads.
    """

    def __init__(self, gates: tuple[str, ...] = ()) -> None:
        """Take the names of gates for `of`; those that are no static gates are left out."""
        self._gates = tuple(name for name in STATIC_GATES if name in gates)
        self._passes: dict[str, dict[str, bool]] = {name: {} for name in STATIC_GATES}
        self._asking = Lock()

    def of(self, texts: Sequence[str], tokenizer: Tokenizer) -> NDArray[np.bool_]:
        """Which of k texts pass all of the gates; bool (k)."""
        keep = np.ones(len(texts), dtype=np.bool_)
        for name in self._gates:
            keep[keep] = self.of_gate(name, list(compress(texts, keep)), tokenizer)
        return keep

    def of_gate(self, name: str, texts: Sequence[str], tokenizer: Tokenizer) -> NDArray[np.bool_]:
        """Which of k texts pass one static gate; bool (k)."""
        passes = self._passes[name]
        with self._asking:
            if new := list(dict.fromkeys(text for text in texts if text not in passes)):
                passes.update(zip(new, STATIC_GATES[name](new, tokenizer).tolist(), strict=True))
            return np.array([passes[text] for text in texts], dtype=np.bool_)


def _repeats(texts: list[str]) -> NDArray[np.bool_]:
    """Which texts occur earlier in the list: an added token's text has one id; bool (k)."""
    first = {text: index for index, text in reversed(list(enumerate(texts)))}
    return np.array([first[text] != index for index, text in enumerate(texts)], dtype=np.bool_)
