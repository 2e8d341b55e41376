"""Compares resampled corpora with real ones in the statistics that mining depends on.

Above all they must grow alike: an eighth of the real tasks is resampled to the size of all of them, and
compared with all of them. Seven eighths of these were unseen.
"""

from collections.abc import Callable

import numpy as np

from benches.mining.pipeline import TokenTable, fold, mine, reduction
from benches.resampling.agent_turns import AgentTurns, Trajectories
from benches.resampling.hashing import mixed
from lar import _core

SEEN = 1 / 8
HELD_OUT = 1 / 5
SIZES = (256, 1024)
# As many candidates as there are.
ALL = _core.Limits(min_count=2, min_support=2, max_length=128, most=1 << 30)


def statistics(corpus: Trajectories, tokens: TokenTable) -> dict[str, float]:
    """Shares of all tokens; distinct runs are a share of runs, candidates are counted per 1,000 tokens.

    "shared n-grams": the tokens at which an n-gram of two or more tasks begins.
    """
    size = len(corpus.tokens)
    runs = fold([corpus], tokens)
    candidates = runs.candidates(ALL)
    _, _, counts, *_ = runs.to_arrays()
    segments, *_ = candidates.to_arrays()
    grams = {length: _grams(corpus, length) for length in (2, 4, 8, 16)}
    return {
        "distinct runs": len(runs) / int(counts.sum()),
        "their tokens": runs.distinct_tokens / size,
        **{f"distinct {length}-grams": distinct for length, (distinct, _) in grams.items()},
        **{f"shared {length}-grams": shared for length, (_, shared) in grams.items()},
        "candidates": len(candidates) / size * 1000,
        "their mean length": len(segments) / max(1, len(candidates)),
    }


def _grams(corpus: Trajectories, length: int) -> tuple[float, float]:
    """The share of distinct n-grams, and the share of n-grams that occur in two or more tasks."""
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


def reductions(corpus: Trajectories, tokens: TokenTable) -> dict[str, float]:
    """The reduction of a vocabulary of each of SIZES on held-out tasks of the corpus."""
    chance = np.random.default_rng(0).random(int(corpus.tasks.max()) + 1)
    held_out, train = corpus.split(chance[corpus.tasks] < HELD_OUT)
    mined = {size: mine([train], tokens, size) for size in SIZES}
    return {f"reduction, K = {size}": reduction(mined[size], held_out, tokens.base_size) for size in SIZES}


def compare(
    real: AgentTurns,
    tokens: TokenTable,
    resampled: Callable[[AgentTurns], Callable[[int], Trajectories]],
) -> str:
    """The table, a column a corpus. `resampled` takes real turns and returns a maker of corpora by size."""
    tasks = int(real.tasks[-1]) + 1
    part = real.of_tasks(np.random.default_rng(0).random(tasks) < SEEN)
    whole = real.as_trajectories()
    size = len(whole.tokens)
    columns = [
        _column("real", "an eighth", part.as_trajectories(), tokens, reduced=False),
        _column("real", "all", whole, tokens, reduced=True),
        _column("resampled", "an eighth", resampled(part)(size), tokens, reduced=True),
        _column("resampled", "all", resampled(real)(size), tokens, reduced=True),
    ]
    # The second column has all rows.
    rows = [
        f"{name:<20}" + "".join(f"{column.get(name, ''):>11}" for column in columns) for name in columns[1]
    ]
    return "\n".join(rows)


def _column(
    kind: str, tasks: str, corpus: Trajectories, tokens: TokenTable, *, reduced: bool
) -> dict[str, str]:
    figures = statistics(corpus, tokens) | (reductions(corpus, tokens) if reduced else {})
    head = {"corpus": kind, "real tasks seen": tasks, "M tokens": f"{len(corpus.tokens) / 1e6:.1f}"}
    return head | {name: f"{figure:.3g}" for name, figure in figures.items()}
