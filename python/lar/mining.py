"""Corpus -> latent vocabulary: which segments recur, could have been predicted, and save the most."""

import re
from dataclasses import asdict, dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from lar import _core
from lar.backend import Backend, OneMachine, entropies_of
from lar.boundary_gate import misalignment
from lar.corpus import Corpus, EntropyDistribution, Shard
from lar.engine_gates import parse_gates
from lar.errors import CorpusError, OptionError
from lar.progress import Progress, silent
from lar.selection import Selection, Selector
from lar.tokenization import Tokenizer
from lar.tool_call_gate import cut_at_names, tool_call
from lar.vocabulary import Latent, LatentVocabulary, task_digest

# Candidates that selection chooses from, for each latent. Twice as many choose the same; half as many lose
# 0.1 points where much is alike.
CANDIDATES_A_LATENT = 32


@dataclass(frozen=True)
class MiningOptions:
    """What `mine` can be told.

    size: number of latents wanted; fewer are made where fewer segments recur. Where the corpus's own parse
        has no use for so many, the last ones have no `uses`: they serve unseen tasks.
    min_support: fewest distinct tasks in which a segment must occur. Two keep what a single task says (a
        name, its retries) out of the vocabulary. Rare segments are trusted less anyway: one chooses as
        well, and better where the corpus is small for so many latents. Ask for more where each latent must
        be met often to be learnt.
    min_count: fewest occurrences of a segment.
    max_length: longest segment in base tokens.
    max_entropy: the gate. A token may continue a segment only if the teacher's next-token entropy before it
        is at most this: nats (0.25) or a quantile of the agent's own entropies ("p60"). None: no gate.
        Where the corpus is not scored, its branching entropy takes the teacher's place.
    gates: which segments serving engines can take: "engines" (all gates of `lar.engine_gates`, and the audit
        of `lar.boundary_gate`), "none", or the names of some with commas between.
    max_misaligned: of the gate `boundary`: in more than this share of a latent's occurrences in the corpus's
        text the base tokens may not be others than its own.
    """

    size: int = 1024
    min_support: int = 2
    min_count: int = 2
    max_length: int = 128
    max_entropy: float | str | None = None
    gates: str = "engines"
    max_misaligned: float = 0.05

    def __post_init__(self) -> None:
        if self.size < 1:
            raise OptionError(f"size must be at least 1, not {self.size}")
        _core.check_limits(*self.limits)
        if not 0 <= self.max_misaligned <= 1:
            raise OptionError(f"max_misaligned must be from 0 to 1, not {self.max_misaligned}")
        parse_gate(self.max_entropy)
        parse_gates(self.gates)

    @property
    def limits(self) -> tuple[int, int, int, int]:
        """What candidates are searched by: fewest occurrences and tasks, longest segment, most candidates."""
        return self.min_count, self.min_support, self.max_length, CANDIDATES_A_LATENT * self.size


@dataclass(frozen=True)
class Gate:
    """A bound on entropies: in nats, or a quantile (0 to 1) of the corpus's own."""

    nats: float | None = None
    quantile: float | None = None


def parse_gate(value: float | str | None) -> Gate | None:
    """Read a gate: None, a number of nats (0.25, "0.25") or a quantile in percent ("p60").

    Raises:
        OptionError: it is neither.
    """
    if value is None:
        return None
    if isinstance(value, str) and (match := re.fullmatch(r"p(\d+(?:\.\d+)?)", value)):
        percent = float(match[1])
        if percent <= 100:
            return Gate(quantile=percent / 100)
    else:
        try:
            nats = float(value)
        except ValueError:
            nats = -1.0
        if nats >= 0:
            return Gate(nats=nats)
    raise OptionError(f"max_entropy must be nats (0.25) or a quantile (p60), not {value!r}")


def mine(
    corpus: Corpus, *, backend: Backend | None = None, progress: Progress = silent, **options: object
) -> LatentVocabulary:
    """Mine a latent vocabulary; `options` are the fields of `MiningOptions`.

    Deterministic: the same corpus and options give the same vocabulary for any number of threads and shards
    and on any `backend` (None: `OneMachine()`).

    Raises:
        OptionError: an option is out of its range, or the corpus has more runs than candidates can be
            searched in; the message says what helps.
        CorpusError: the corpus holds no token of the agent.
    """
    chosen_options = MiningOptions(**options)  # type: ignore[arg-type]
    backend = backend or OneMachine()
    gate = parse_gate(chosen_options.max_entropy)
    # With a teacher's gate the corpus is folded again, and only those runs are searched.
    searched = gate is None or corpus.manifest.teacher is None
    stretches = backend.fold(corpus, None, progress, searched=searched)
    if len(stretches) == 0:
        raise CorpusError(f"{corpus.path}: the corpus holds no token of an agent")
    gates = parse_gates(chosen_options.gates)
    runs, nats = _gated_runs(corpus, stretches, gate, backend)
    if tool_call.__name__ in gates:
        runs = cut_at_names(runs, corpus.tokenizer)
    candidates = backend.candidates(runs, *chosen_options.limits)
    selector = Selector(
        stretches,
        chosen_options.size,
        corpus.tokenizer,
        lambda *segments: misalignment(corpus, segments, backend).exceeds(chosen_options.max_misaligned),
        corpus.num_action_tokens,
    )
    selection = selector.select(candidates, gates)
    latents = _latents(selection, corpus.tokenizer)
    mining = {
        **asdict(chosen_options),
        "max_entropy_nats": nats,
        "teacher": corpus.manifest.teacher,
        "tasks": len(corpus.tasks),
        "trajectories": corpus.num_trajectories,
        "action_tokens": corpus.num_action_tokens,
        "distinct_runs": len(runs),
        "candidates": len(candidates),
        "gates": selector.costs,
    }
    mined_tasks = frozenset(task_digest(task) for task in corpus.tasks)
    vocabulary = LatentVocabulary(latents, corpus.tokenizer.base_size, corpus.tokenizer, mining, mined_tasks)
    return _with_entropies(vocabulary, corpus, backend)


def _gated_runs(
    corpus: Corpus, stretches: _core.Runs, gate: Gate | None, backend: Backend
) -> tuple[_core.Runs, float | None]:
    """The runs that candidates come from, and the gate in nats."""
    if gate is None:
        return stretches, None
    if corpus.manifest.teacher is not None:
        nats = gate.nats
        if nats is None:
            nats = EntropyDistribution.of(corpus, backend.map_shards).quantile(gate.quantile or 0.0)
        return backend.fold(corpus, nats, silent), nats
    entropies = stretches.branching_entropies()
    _, offsets, counts, *_ = stretches.to_arrays()
    weights = np.repeat(counts, np.diff(offsets))
    nats = gate.nats if gate.nats is not None else _quantile(entropies, weights, gate.quantile or 0.0)
    return stretches.split(entropies <= nats), nats


def _quantile(values: NDArray[np.float32], weights: NDArray[np.uint64], quantile: float) -> float:
    """The smallest value with at least the share `quantile` of the weight at or under it; NaNs left out."""
    known = ~np.isnan(values) & (weights > 0)
    if not known.any():
        raise CorpusError("no token of the agent has an entropy: the corpus is too small to gate")
    values, weights = values[known], weights[known]
    order = np.argsort(values, kind="stable")
    reached = np.cumsum(weights[order]) >= quantile * float(weights.sum())
    return float(values[order][int(np.argmax(reached))])


def _latents(selection: Selection, tokenizer: Tokenizer) -> tuple[Latent, ...]:
    """The chosen candidates as latents, in the order of their worth."""
    tokens, offsets = selection.segments
    _, _, counts, supports = selection.pool.to_arrays()
    latents = []
    for rank, (candidate, used) in enumerate(
        zip(selection.chosen.tolist(), selection.uses.tolist(), strict=True)
    ):
        segment = tokens[offsets[rank] : offsets[rank + 1]].tolist()
        latent = Latent(
            id=tokenizer.base_size + rank,
            tokens=tuple(segment),
            text=tokenizer.decode(segment),
            count=int(counts[candidate]),
            support=int(supports[candidate]),
            uses=used,
        )
        latents.append(latent)
    return tuple(latents)


def _with_entropies(vocabulary: LatentVocabulary, corpus: Corpus, backend: Backend) -> LatentVocabulary:
    """The vocabulary with each latent's mean entropy over its uses, where the corpus has a teacher's."""
    if corpus.manifest.teacher is None or vocabulary.size == 0:
        return vocabulary
    segments = vocabulary.base_size, vocabulary.segment_tokens, vocabulary.segment_offsets
    sums = np.zeros(vocabulary.size)
    numbers = np.zeros(vocabulary.size)
    for of_shard in backend.map_shards(partial(_entropy_sums, segments), corpus):
        sums += of_shard[0]
        numbers += of_shard[1]
    means = sums / np.maximum(numbers, 1)
    latents_with = tuple(
        replace(latent, mean_entropy=round(mean, 4))
        for latent, mean in zip(vocabulary.latents, means.tolist(), strict=True)
    )
    return replace(vocabulary, latents=latents_with)


def _entropy_sums(
    segments: tuple[int, NDArray[np.uint32], NDArray[np.int64]], shard: Shard
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """For each of k latents the sum of the entropies within its uses, and their number; float64 (k) each.

    `segments` are the base size, and the latents' base ids end to end with their offsets (k + 1).
    """
    base_size, _, offsets = segments
    units, action, starts = _core.Vocabulary(*segments).align(shard.tokens, shard.action, shard.offsets)
    entropies = np.nan_to_num(entropies_of(shard).astype(np.float64), nan=0.0)
    # A unit's first token needs no prediction from within: what counts is how sure the rest was.
    entropies[starts[:-1]] = 0.0
    used = action & (units >= base_size)
    latents = units[used] - base_size
    totals = np.add.reduceat(entropies, starts[:-1])[used]
    continued = np.diff(starts)[used] - 1
    sums = np.bincount(latents, weights=totals, minlength=len(offsets) - 1)
    numbers = np.bincount(latents, weights=continued, minlength=len(offsets) - 1)
    return sums.astype(np.float64), numbers.astype(np.float64)
