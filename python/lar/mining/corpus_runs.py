"""The runs of a corpus that mining reads: of the agent's text and, with a weight, of the prompts."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lar import _core
from lar.corpus import Corpus
from lar.corpus.backend import Backend
from lar.errors import CorpusError
from lar.mining.entropy_gate import gated_runs, parse_gate
from lar.mining.options import MiningOptions
from lar.mining.token_weights import TokenWeights
from lar.utils.progress import Progress, annotate
from lar.vocabulary.segments import Segments

Cut = Callable[[_core.Runs], _core.Runs]


@dataclass(frozen=True)
class CorpusRuns:
    """Runs between barriers, in two forms: as parses read them, and cut further for the search of candidates.

    generated, prompt: the agent's runs and those that it only reads, for parses; `prompt` is None without a
    weight for prompts. scored: the agent's runs of the tasks that have the gate's entropies; of other tasks
    it has single tokens only. gated: these, cut by the entropy gate, which decides no token of a prompt.
    searched_generated, searched_prompt: `gated` and `prompt`, cut by engine gates too. counted: what
    frequencies are counted in: `searched_generated`, or where a sample is scored all of the agent's runs, cut
    by engine gates alone. parsed, searched: both kinds together, counted by their weights. nats: the entropy
    gate.
    """

    weights: TokenWeights
    generated: _core.Runs
    scored: _core.Runs
    gated: _core.Runs
    prompt: _core.Runs | None
    searched_generated: _core.Runs
    searched_prompt: _core.Runs | None
    counted: _core.Runs
    parsed: _core.Runs
    searched: _core.Runs
    nats: float | None

    @classmethod
    def fold(
        cls, corpus: Corpus, options: MiningOptions, cut: Cut, backend: Backend, progress: Progress
    ) -> "CorpusRuns":
        """The runs of a corpus; `cut` cuts runs where engine gates want it.

        Raises:
            CorpusError: the corpus holds no token of the agent.
            OptionError: the entropy gate is above any entropy of the corpus's tokenizer.
        """
        gate, weights = parse_gate(options.max_entropy, corpus.tokenizer.base_size), options.weights
        annotate(progress, "runs")
        generated = backend.fold(corpus, None, progress)
        if len(generated) == 0:
            raise CorpusError(f"{corpus.path}: the corpus holds no token of an agent")
        scored, gated, nats = gated_runs(corpus, generated, gate, backend, progress)
        searched_generated = cut(gated)
        counted = searched_generated if scored is generated else cut(generated)
        of_agent = generated, scored, gated
        if not weights.prompt:
            searched = searched_generated, None, counted
            return cls(weights, *of_agent, None, *searched, generated, searched_generated, nats)
        annotate(progress, "runs of prompts")
        prompt = backend.fold(corpus, None, progress, prompt=True)
        searched_prompt = cut(prompt)
        return cls(
            weights,
            *of_agent,
            prompt,
            searched_generated,
            searched_prompt,
            counted,
            _weighted(weights, generated, prompt),
            _weighted(weights, searched_generated, searched_prompt),
            nats,
        )

    def within_gate(
        self, candidates: _core.Candidates, most: float, *, is_held: bool = False
    ) -> NDArray[np.bool_]:
        """Which of n candidates cross the entropy gate in at most the share `most` of their places; bool (n).

        Places are occurrences in what the agent writes: a candidate that occurs only in prompts crosses none.
        The parse takes a latent wherever its text occurs. One that is certain in some places and a decision
        in others would decide there all the same. Where a sample is scored, its places stand for all. What is
        written outside of it alone is not judged: False, or for a latent that is held, True.
        """
        if self.nats is None:
            return np.ones(len(candidates), dtype=np.bool_)
        tokens, offsets, *_ = candidates.to_arrays()
        written = self.scored.count_occurrences(tokens, offsets)
        crossing = written - self.gated.count_occurrences(tokens, offsets)
        within: NDArray[np.bool_] = crossing <= most * written
        if self.scored is self.generated or is_held:
            return within
        judged: NDArray[np.bool_] = (written > 0) | (self.generated.count_occurrences(tokens, offsets) == 0)
        return within & judged

    def held(self, segments: Segments) -> _core.Candidates:
        """The latents of an earlier vocabulary as candidates, those that the sample lacks among them."""
        found = self.searched.as_candidates(segments.tokens, segments.offsets)
        if self.scored is self.generated:
            return found
        return found.union(self.counted.as_candidates(segments.tokens, segments.offsets))

    def frequencies(self, segments: Segments) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Occurrences of k segments in the runs, each counted once, and distinct tasks; int64 (k) each."""
        runs = self.counted
        if self.searched_prompt is not None:
            runs = _core.Runs.weighted([(runs, 1), (self.searched_prompt, 1)])
        return frequencies(runs, segments)

    def uses(self, segments: Segments) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
        """Uses of k segments in the parse of the agent's text, and in that of prompts; uint64 (k) each."""
        flat = segments.tokens, segments.offsets
        generated = self.generated.count_uses(*flat)
        prompt = np.zeros_like(generated) if self.prompt is None else self.prompt.count_uses(*flat)
        return generated, prompt


def frequencies(runs: _core.Runs, segments: Segments) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Occurrences of k segments in `runs`, and distinct tasks; int64 (k) each.

    Segments of less than two tokens have none.
    """
    found = runs.as_candidates(segments.tokens, segments.offsets)
    tokens, offsets, counts, supports = found.to_arrays()
    rows = zip(counts.tolist(), supports.tolist(), strict=True)
    of = dict(zip(map(tuple, Segments(tokens, offsets).to_lists()), rows, strict=True))
    pairs = [of.get(tuple(segment), (0, 0)) for segment in segments.to_lists()]
    array = np.array(pairs, dtype=np.int64).reshape(-1, 2)
    return array[:, 0], array[:, 1]


def _weighted(weights: TokenWeights, generated: _core.Runs, prompt: _core.Runs) -> _core.Runs:
    return _core.Runs.weighted([(generated, weights.generated), (prompt, weights.prompt)])
