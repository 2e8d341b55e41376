"""Corpus -> latent vocabulary: which segments recur, could have been predicted, and save the most."""

from dataclasses import asdict, replace
from functools import partial
from typing import Unpack

import numpy as np
from numpy.typing import NDArray

from lar import _core
from lar.corpus import Corpus, Shard
from lar.errors import CorpusError
from lar.mining.backend import Backend, OneMachine, entropies_of
from lar.mining.engine_gates.boundary import misalignment
from lar.mining.engine_gates.static import parse_gates
from lar.mining.engine_gates.tool_call import cut_at_names, tool_call
from lar.mining.entropy_gate import gated_runs, parse_gate
from lar.mining.options import MiningKeywords, MiningOptions
from lar.mining.selection import Selection, Selector
from lar.tokenizer.tokenizer import Tokenizer
from lar.utils.keywords import merge_options
from lar.utils.paths import StrPath
from lar.utils.progress import Progress, silent
from lar.vocabulary.latent import Latent
from lar.vocabulary.vocabulary import LatentVocabulary, task_digest


def mine(
    corpus: Corpus | StrPath,
    size: int = MiningOptions.size,
    *,
    backend: Backend | None = None,
    progress: Progress = silent,
    **options: Unpack[MiningKeywords],
) -> LatentVocabulary:
    """Mine a latent vocabulary of at most `size` latents; `options` are the other fields of `MiningOptions`.

    `corpus` is a corpus or its folder.

    Deterministic: the same corpus and options give the same vocabulary for any number of threads and shards
    and on any `backend` (None: `OneMachine()`).

    Raises:
        OptionError: an option is out of its range, or the corpus has more runs than candidates can be
            searched in; the message says what helps.
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
    # With a teacher's gate the corpus is folded again, and only those runs are searched.
    teacher = corpus.teacher
    searched = gate is None or teacher is None
    stretches = backend.fold(corpus, None, progress, searched=searched)
    if len(stretches) == 0:
        raise CorpusError(f"{corpus.path}: the corpus holds no token of an agent")
    gates = parse_gates(chosen_options.gates)
    runs, nats = gated_runs(corpus, stretches, gate, backend)
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
        "teacher": teacher and asdict(teacher),
        "tasks": len(corpus.tasks),
        "trajectories": corpus.num_trajectories,
        "action_tokens": corpus.num_action_tokens,
        "distinct_runs": len(runs),
        "candidates": len(candidates),
        "gates": selector.costs,
    }
    mined_tasks = frozenset(task_digest(task) for task in corpus.tasks)
    vocabulary = LatentVocabulary(latents, corpus.tokenizer, mining, mined_tasks)
    return _with_entropies(vocabulary, corpus, backend)


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
    if corpus.teacher is None or vocabulary.size == 0:
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
