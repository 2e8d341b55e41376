"""Corpus -> latent vocabulary: the segments that recur, could have been predicted, and save the most."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import partial
from typing import Unpack

import numpy as np
from numpy.typing import NDArray

from lar import _core
from lar.corpus import Corpus, Shard
from lar.corpus.backend import Backend
from lar.errors import CorpusError
from lar.mining.engine_gates.static import CUTS, parse_gates
from lar.mining.entropy_gate import gated_runs, parse_gate
from lar.mining.one_machine import OneMachine, entropies_of
from lar.mining.options import MiningKeywords, MiningOptions
from lar.mining.selection import Selector
from lar.mining.served_saving import Audit
from lar.mining.turn_borders import TurnBorders
from lar.tokenizer.tokenizer import Tokenizer
from lar.utils.keywords import merge_options
from lar.utils.paths import StrPath
from lar.utils.progress import Progress, annotate, silent
from lar.vocabulary.latent import Latent
from lar.vocabulary.segments import Segments
from lar.vocabulary.vocabulary import LatentVocabulary, task_digest


def mine(
    corpus: Corpus | StrPath,
    size: int = MiningOptions.size,
    *,
    backend: Backend | None = None,
    progress: Progress = silent,
    **options: Unpack[MiningKeywords],
) -> LatentVocabulary:
    """A latent vocabulary of at most `size` latents; `options` are the other fields of `MiningOptions`.

    `corpus` is a corpus or its folder. `progress` counts the tokens of each pass over the corpus, from zero
    again for each; most passes are audits of the gate `served`.

    Deterministic: the same corpus and options give the same vocabulary for any number of threads and shards
    and on any `backend` (None: `OneMachine()`).

    Raises:
        OptionError: an option is out of its range, or the corpus has more runs than candidates can be
            searched in; the message names what helps.
        CorpusError: the corpus holds no token of the agent.

    >>> vocabulary = lar.mine(corpus, size=4, gates="none")
    >>> [latent.id - vocabulary.base_size for latent in vocabulary]
    [0, 1, 2, 3]
    """
    chosen_options = merge_options(MiningOptions, None, {"size": size, **options})
    if not isinstance(corpus, Corpus):
        corpus = Corpus.load(corpus)
    backend = backend or OneMachine()
    gate = parse_gate(chosen_options.max_entropy)
    annotate(progress, "runs")
    # With a teacher's gate the corpus is folded again, and only those runs are searched.
    teacher = corpus.teacher
    searched = gate is None or teacher is None
    stretches = backend.fold(corpus, None, progress, searched=searched)
    if len(stretches) == 0:
        raise CorpusError(f"{corpus.path}: the corpus holds no token of an agent")
    gates = parse_gates(chosen_options.gates)
    runs, nats = gated_runs(corpus, stretches, gate, backend, progress)
    for name in gates:
        if name in CUTS:
            runs = CUTS[name](runs, corpus.tokenizer)
    candidates = backend.candidates(runs, chosen_options.limits)

    def crosses(texts: Sequence[str]) -> NDArray[np.bool_]:
        annotate(progress, "borders between turns")
        return TurnBorders.of(corpus, backend, progress).crossed_by(texts)

    audit = Audit(corpus, backend)

    def fails(selection: _core.Selection) -> NDArray[np.bool_]:
        annotate(progress, "savings in the text that engines read")
        tokens, offsets, _, _, uses = selection.to_arrays()
        segments = Segments(tokens, offsets)
        found = audit.count(segments, progress)
        promised = uses.astype(np.int64) * (segments.lengths - 1)
        return found.saved < chosen_options.min_kept * promised

    selector = Selector(
        stretches, chosen_options.size, corpus.tokenizer, crosses, fails, corpus.num_action_tokens
    )
    selection = selector.select(candidates, gates)
    mining = {
        **asdict(chosen_options),
        "max_entropy_nats": nats,
        "teacher": teacher and asdict(teacher),
        "tasks": len(corpus.tasks),
        "trajectories": corpus.num_trajectories,
        "action_tokens": corpus.num_action_tokens,
        "distinct_runs": len(runs),
        "candidates": len(candidates),
        "gates": selector.costs,
    }
    mined_tasks = frozenset(task_digest(task) for task in corpus.tasks)
    latents = _latents(selection, corpus.tokenizer)
    vocabulary = LatentVocabulary(latents, corpus.tokenizer, mining, mined_tasks)
    return _with_entropies(vocabulary, corpus, backend, progress)


def _latents(selection: _core.Selection, tokenizer: Tokenizer) -> tuple[Latent, ...]:
    """The chosen segments as latents, in the order of their worth."""
    tokens, offsets, counts, supports, uses = selection.to_arrays()
    segments = Segments(tokens, offsets).to_lists()
    rows = zip(segments, counts.tolist(), supports.tolist(), uses.tolist(), strict=True)
    return tuple(
        Latent(tokenizer.base_size + rank, tuple(segment), tokenizer.decode(segment), count, support, used)
        for rank, (segment, count, support, used) in enumerate(rows)
    )


def _with_entropies(
    vocabulary: LatentVocabulary, corpus: Corpus, backend: Backend, progress: Progress
) -> LatentVocabulary:
    """The vocabulary with each latent's mean entropy over its uses, where the corpus has a teacher's."""
    if corpus.teacher is None or vocabulary.size == 0:
        return vocabulary
    annotate(progress, "entropies of the latents")
    sums = np.zeros(vocabulary.size)
    numbers = np.zeros(vocabulary.size)
    for of_shard in backend.map_shards(partial(_entropy_sums, vocabulary), corpus, progress):
        sums += of_shard[0]
        numbers += of_shard[1]
    means = sums / np.maximum(numbers, 1)
    latents_with = tuple(
        replace(latent, mean_entropy=round(mean, 4))
        for latent, mean in zip(vocabulary.latents, means.tolist(), strict=True)
    )
    return replace(vocabulary, latents=latents_with)


def _entropy_sums(
    vocabulary: LatentVocabulary, shard: Shard
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """For each of k latents the sum of the entropies within its uses, and their number; float64 (k) each."""
    form = vocabulary.reparameterize(shard.tokens, shard.action, shard.offsets)
    entropies = np.nan_to_num(entropies_of(shard).astype(np.float64), nan=0.0)
    # Only a unit's second and later tokens are predicted within the unit.
    entropies[form.starts[:-1]] = 0.0
    used = form.action & (form.units >= vocabulary.base_size)
    latents = form.units[used] - vocabulary.base_size
    totals = np.add.reduceat(entropies, form.starts[:-1])[used]
    continued = np.diff(form.starts)[used] - 1
    sums = np.bincount(latents, weights=totals, minlength=vocabulary.size)
    numbers = np.bincount(latents, weights=continued, minlength=vocabulary.size)
    return sums.astype(np.float64), numbers.astype(np.float64)
