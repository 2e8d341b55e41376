"""Whether resampled corpora are like real ones, in what mining depends on.

The first question is whether they grow like them: a resampling of an eighth of the real tasks, made as large
as all of the real ones, is compared with these, of which it has not seen seven eighths.
"""

from collections.abc import Callable
from dataclasses import astuple, dataclass, fields
from itertools import zip_longest

import numpy as np
from agent_turns import AgentTurns, Trajectories
from hashing import mixed
from pipeline import TokenTable, fold, mine, reduction

SEEN = 1 / 8
HELD_OUT = 1 / 5
GROWTH = (1_000_000, 3_000_000, 10_000_000, 30_000_000)
SIZES = (256, 1024)


@dataclass(frozen=True)
class Statistics:
    """Shares of all tokens, but for `runs`, which is one of all runs; `candidates` is by thousand tokens.

    distinct_n: n-grams that are different; shared_n: tokens where an n-gram begins that two tasks have.
    """

    tokens: float
    runs: float
    run_tokens: float
    distinct_2: float
    distinct_4: float
    distinct_8: float
    distinct_16: float
    shared_2: float
    shared_4: float
    shared_8: float
    shared_16: float
    candidates: float
    candidate_length: float

    @classmethod
    def of(cls, corpus: Trajectories, tokens: TokenTable) -> "Statistics":
        """Count everything."""
        size = len(corpus.tokens)
        runs = fold([corpus], tokens)
        candidates = runs.candidates(2, 2, 128)
        grams = [_grams(corpus, length) for length in (2, 4, 8, 16)]
        return cls(
            size,
            len(runs) / int(runs.counts.sum()),
            len(runs.tokens) / size,
            *(distinct for distinct, _ in grams),
            *(shared for _, shared in grams),
            candidates=len(candidates) / size * 1000,
            candidate_length=len(candidates.tokens) / max(1, len(candidates)),
        )


def _grams(corpus: Trajectories, length: int) -> tuple[float, float]:
    """The share of distinct n-grams, and of n-grams that are not one task's alone."""
    hashes = np.zeros(len(corpus.tokens) - length + 1, dtype=np.uint64)
    tokens = corpus.tokens.astype(np.uint64)
    for place in range(length):
        hashes = mixed(hashes + tokens[place : place + len(hashes)] + np.uint64(1))
    order = np.argsort(hashes, kind="stable")
    tasks = np.repeat(corpus.tasks, np.diff(corpus.offsets))[: len(hashes)][order]
    first = np.flatnonzero(np.append(True, np.diff(hashes[order]) != 0))
    shared = np.minimum.reduceat(tasks, first) != np.maximum.reduceat(tasks, first)
    counts = np.diff(first, append=len(hashes))
    return len(first) / len(hashes), float(counts[shared].sum()) / len(hashes)


def reductions(corpus: Trajectories, tokens: TokenTable) -> list[float]:
    """What the vocabularies of all SIZES save on held-out tasks of the corpus."""
    chance = np.random.default_rng(0).random(int(corpus.tasks.max()) + 1)
    held_out, train = corpus.split(chance[corpus.tasks] < HELD_OUT)
    return [reduction(mine([train], tokens, size), held_out, tokens.base_size) for size in SIZES]


def compare(
    real: AgentTurns,
    tokens: TokenTable,
    resampled: Callable[[AgentTurns], Callable[[int], Trajectories]],
) -> str:
    """The table, a column a corpus; `resampled` makes of real turns what makes corpora of so many tokens."""
    tasks = int(real.tasks[-1]) + 1
    part = real.of_tasks(np.random.default_rng(0).random(tasks) < SEEN)
    whole = real.as_trajectories()
    of_all = resampled(real)
    columns = [
        ["real", "an eighth", *_cells(part.as_trajectories(), tokens)],
        ["real", "all", *_cells(whole, tokens, reduced=True)],
        ["resampled", "an eighth", *_cells(resampled(part)(len(whole.tokens)), tokens, reduced=True)],
        ["resampled", "all", *_cells(of_all(len(whole.tokens)), tokens, reduced=True)],
        *(["resampled", "all", *_cells(of_all(size), tokens)] for size in GROWTH),
    ]
    names = [
        "",
        "",
        *(field.name for field in fields(Statistics)),
        *(f"reduction at {size}" for size in SIZES),
    ]
    rows = zip_longest(names, *columns, fillvalue="")
    return "\n".join(f"{name:<18}" + "".join(f"{cell:>12}" for cell in cells) for name, *cells in rows)


def _cells(corpus: Trajectories, tokens: TokenTable, *, reduced: bool = False) -> list[str]:
    size, *shares = astuple(Statistics.of(corpus, tokens))
    shares += reductions(corpus, tokens) if reduced else []
    return [f"{size / 1e6:.1f} M", *(f"{share:.3g}" for share in shares)]
