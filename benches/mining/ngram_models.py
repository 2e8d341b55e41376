"""Entropies of a corpus's own n-grams in many variants, for comparisons; the core has the one that is used.

All runs are one flat text. A context before a position is a number, so counts are those of equal numbers.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

import lar

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

LONGEST = 8  # tokens of a context


@dataclass(frozen=True)
class Text:
    """The runs of a corpus end to end, with an end after each; n positions in all.

    symbols: tokens numbered from 1 on, and 0 for an end. begins: where the position's run begins. tasks: its
    task. places: where the runs of a task (the key's first part) begin, by their tokens.
    """

    symbols: Ints
    begins: Ints
    tasks: Ints
    places: dict[tuple[str, bytes], int]

    @classmethod
    def of(cls, corpus: lar.Corpus, kept: set[str], most: int | None) -> "Text":
        """Of the tasks `kept` and at most `most` in all; None: of all."""
        chosen = set(sorted(corpus.tasks - kept)[: None if most is None else max(0, most - len(kept))]) | kept
        numbers = {task: number for number, task in enumerate(sorted(chosen))}
        tokens, begins, tasks, places, size = [], [], [], {}, 0
        for task, run, _ in runs_of(corpus):
            if task in chosen:
                places.setdefault((task, run.tobytes()), size)
                tokens.append(np.append(run.astype(np.int64), -1))
                begins.append(np.full(len(run) + 1, size))
                tasks.append(np.full(len(run) + 1, numbers[task]))
                size += len(run) + 1
        symbols = np.unique(np.concatenate(tokens), return_inverse=True)[1]
        return cls(symbols, np.concatenate(begins), np.concatenate(tasks), places)

    @cached_property
    def vocabulary(self) -> int:
        """Number of symbols."""
        return int(self.symbols.max()) + 1

    @cached_property
    def contexts(self) -> list[Ints]:
        """For each length from 0 on, the number of the context before each position; -1 where none is."""
        at = np.arange(len(self.symbols))
        found = [np.zeros_like(at)]
        for length in range(1, LONGEST + 1):
            longer = np.full_like(at, -1)
            inside = at - length >= self.begins
            first = self.symbols[at[inside] - length]
            longer[inside] = np.unique(found[-1][inside] * self.vocabulary + first, return_inverse=True)[1]
            found.append(longer)
        return found


def runs_of(corpus: lar.Corpus) -> Iterator[tuple[str, NDArray[np.uint32], NDArray[np.float16] | None]]:
    """The task, the tokens and the teacher's entropies of each run."""
    barrier = np.zeros(corpus.tokenizer.base_size, dtype=np.bool_)
    barrier[corpus.tokenizer.barriers] = True
    for shard in corpus.shards():
        inside, entropy = shard.action & ~barrier[shard.tokens], shard.entropy
        for row, first, last in stretches(inside, shard.offsets):
            yield shard.tasks[row], shard.tokens[first:last], None if entropy is None else entropy[first:last]


def stretches(inside: NDArray[np.bool_], offsets: Ints) -> Iterator[tuple[int, int, int]]:
    """Trajectory, start and end of each stretch of true values in `inside` (n), which ends with a trajectory.

    offsets: int64 (m + 1) of the m trajectories.
    """
    for row, (begin, end) in enumerate(pairwise(offsets.tolist())):
        edges = np.flatnonzero(np.diff(inside[begin:end], prepend=False, append=False)) + begin
        for first, last in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
            yield row, first, last


@dataclass(frozen=True)
class Sample:
    """Positions of the text, and the teacher's entropy and the task of each."""

    positions: Ints
    entropies: Floats
    tasks: Ints

    @classmethod
    def of(cls, scored: lar.Corpus, text: Text) -> "Sample":
        """The positions of the scored runs, but for their first tokens."""
        positions, entropies = [], []
        for task, run, entropy in runs_of(scored):
            if entropy is not None and (place := text.places.get((task, run.tobytes()))) is not None:
                positions.append(np.arange(place + 1, place + len(run)))
                entropies.append(entropy[1:].astype(np.float64))
        at = np.concatenate(positions)
        return cls(at, np.concatenate(entropies), text.tasks[at])


def branching(text: Text, fewest: int = 5) -> Floats:
    """The entropy of what follows the longest context that occurs `fewest` times, by its counts alone."""
    found = np.full(len(text.symbols), np.inf)
    for context in text.contexts[1:]:
        inside = np.flatnonzero(context >= 0)
        pairs, counts = np.unique(
            context[inside] * text.vocabulary + text.symbols[inside], return_counts=True
        )
        of = pairs // text.vocabulary
        total = np.bincount(of, counts)
        entropy = np.log(total) - np.bincount(of, counts * np.log(counts)) / total
        frequent = inside[total[context[inside]] >= fewest]
        found[frequent] = entropy[context[frequent]]
    return found


def witten_bell(text: Text, weight: float = 1.0, fewest: int = 1) -> list[Floats]:
    """The entropy of an n-gram model, for contexts of up to 0, 1, ... tokens.

    Interpolated Witten-Bell smoothing (Chen and Goodman 1998), with a weight as in Collins (1999):
    p(w | context) = (c(w) + weight T p(w | shorter)) / (n + weight T), for a context with n occurrences (at
    least `fewest`) and T different followers.
    """
    counts = np.bincount(text.symbols)
    # T times the uniform probability is 1.
    first = (counts + weight) / (counts + weight).sum()
    probability, entropy = first[text.symbols], np.full(len(text.symbols), -(first * np.log(first)).sum())
    found = [entropy.copy()]
    for context in text.contexts[1:]:
        inside = np.flatnonzero(context >= 0)
        pairs, example, pair_of, counts = np.unique(
            context[inside] * text.vocabulary + text.symbols[inside],
            return_index=True,
            return_inverse=True,
            return_counts=True,
        )
        of, shorter = pairs // text.vocabulary, probability[inside[example]]
        total, different = np.bincount(of, counts), weight * np.bincount(of)
        shorter_entropy = np.zeros(len(total))
        shorter_entropy[of] = entropy[inside[example]]
        here = (counts + different[of] * shorter) / (total + different)[of]
        kept = different / (total + different)
        # What does not follow has `kept` times its probability after the shorter context.
        rest = np.maximum(1 - np.bincount(of, shorter), 0)
        rest_entropy = np.maximum(shorter_entropy + np.bincount(of, shorter * np.log(shorter)), 0)
        longer = kept * (rest_entropy - np.log(kept) * rest) - np.bincount(of, here * np.log(here))
        frequent = total[context[inside]] >= fewest
        at = inside[frequent]
        probability[at], entropy[at] = here[pair_of[frequent]], longer[context[at]]
        found.append(entropy.copy())
    return found


class LeftOut:
    """The same model at a sample, without the token's own occurrence ("occurrence") or its task's ("task").

    The followers of each context are counted for each task. It takes as long as there are symbols, for each
    token of the sample and each length.
    """

    def __init__(self, text: Text, sample: Sample) -> None:
        """Count what follows the contexts of the sample."""
        self.text, self.sample = text, sample
        self.number = int(text.tasks.max()) + 1
        self.tables = [self._counted(context) for context in text.contexts]

    def _counted(self, context: Ints) -> tuple[Ints, Ints, Ints, Ints]:
        """Where the rows of each context begin; and of each row the symbol, the task and the count."""
        text = self.text
        needed = np.zeros(int(context.max()) + 2, dtype=np.bool_)  # the last is for -1
        needed[context[self.sample.positions]] = True
        needed[-1] = False
        at = np.flatnonzero(needed[context])
        keys = (context[at] * text.vocabulary + text.symbols[at]) * self.number + text.tasks[at]
        rows, counts = np.unique(keys, return_counts=True)
        symbols, tasks = rows // self.number % text.vocabulary, rows % self.number
        begins = np.searchsorted(rows // self.number // text.vocabulary, np.arange(len(needed)))
        return begins, symbols, tasks, counts

    def entropies(self, what: str, weight: float = 1.0) -> list[Floats]:
        """The entropies at the sample, for contexts of up to 0, 1, ... tokens."""
        found = [self._entropies_at(int(at), what, weight) for at in self.sample.positions]
        return list(np.array(found).T)

    def _entropies_at(self, at: int, what: str, weight: float) -> list[float]:
        size = self.text.vocabulary
        probability, found = np.full(size, 1 / size), []
        for context, (begins, symbols, tasks, counts) in zip(self.text.contexts, self.tables, strict=True):
            if (number := int(context[at])) >= 0:
                rows = slice(begins[number], begins[number + 1])
                kept = tasks[rows] != self.text.tasks[at] if what == "task" else slice(None)
                left = np.bincount(symbols[rows][kept], counts[rows][kept], size)
                left[self.text.symbols[at]] -= what == "occurrence"
                shorter = weight * np.count_nonzero(left)
                if shorter:
                    probability = (left + shorter * probability) / (left.sum() + shorter)
            found.append(float(-(probability * np.log(probability)).sum()))
        return found
