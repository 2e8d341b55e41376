"""Corpus -> latent vocabulary: which segments recur, could have been predicted, and save the most."""

import re
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from lar import _core
from lar.corpus import Corpus, Shard
from lar.errors import CorpusError, OptionError
from lar.progress import Progress, silent
from lar.tokenization import Tokenizer
from lar.vocabulary import Latent, LatentVocabulary, task_digest


@dataclass(frozen=True)
class MiningOptions:
    """What `mine` can be told.

    size: number of latents wanted; fewer are made where fewer are of use.
    min_support: fewest distinct tasks in which a segment must occur.
    min_count: fewest occurrences of a segment.
    max_length: longest segment in base tokens.
    max_entropy: the gate. A token may continue a segment only if the teacher's next-token entropy before it
        is at most this: nats (0.25) or a quantile of the agent's own entropies ("p60"). None: no gate.
        Where the corpus is not scored, its branching entropy takes the teacher's place.
    """

    size: int = 1024
    min_support: int = 5
    min_count: int = 2
    max_length: int = 128
    max_entropy: float | str | None = None

    def __post_init__(self) -> None:
        for name in ("size", "min_support", "min_count"):
            if getattr(self, name) < 1:
                raise OptionError(f"{name} must be at least 1, not {getattr(self, name)}")
        if self.max_length < 2:
            raise OptionError(f"max_length must be at least 2, not {self.max_length}")
        parse_gate(self.max_entropy)


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


def mine(corpus: Corpus, *, progress: Progress = silent, **options: object) -> LatentVocabulary:
    """Mine a latent vocabulary; `options` are the fields of `MiningOptions`.

    Deterministic: the same corpus and options give the same vocabulary for any number of threads.

    Raises:
        OptionError: an option is out of its range.
        CorpusError: the corpus holds no token of the agent.
    """
    chosen_options = MiningOptions(**options)  # type: ignore[arg-type]
    stretches = _fold(corpus, None, progress)
    if len(stretches) == 0:
        raise CorpusError(f"{corpus.path}: the corpus holds no token of an agent")
    runs, nats = _gated_runs(corpus, stretches, parse_gate(chosen_options.max_entropy))
    candidates = runs.candidates(
        chosen_options.min_count, chosen_options.min_support, chosen_options.max_length
    )
    candidates = candidates.filter(whole_characters(candidates, corpus.tokenizer))
    chosen, uses = stretches.select(candidates, chosen_options.size)
    latents = _latents(candidates, chosen, uses, corpus.tokenizer)
    mining = {
        **asdict(chosen_options),
        "max_entropy_nats": nats,
        "teacher": corpus.manifest.teacher,
        "tasks": len(corpus.tasks),
        "trajectories": corpus.num_trajectories,
        "action_tokens": corpus.num_action_tokens,
        "distinct_runs": len(runs),
        "candidates": len(candidates),
    }
    mined_tasks = frozenset(task_digest(task) for task in corpus.tasks)
    vocabulary = LatentVocabulary(latents, corpus.tokenizer.base_size, corpus.tokenizer, mining, mined_tasks)
    return _with_entropies(vocabulary, corpus)
