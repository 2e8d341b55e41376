r"""Corpora of any size with the statistics of real ones: real trajectories with new text and new values.

    python -m benches.resampling.resampler --data shared/data --tokenizer shared/tokenizers/qwen3 \
        --cache cache --tokens 100_000_000 -o corpus.npz
    python -m benches.resampling.resampler --data shared/data --tokenizer shared/tokenizers/qwen3 \
        --cache cache --check

A synthetic task takes after a real one: it has as many trajectories with as many turns. Each turn begins like
the real turn and is spliced with others of the corpus (splices.py); then names, ids and amounts are exchanged
for others, the same way throughout the task (values.py). The result depends on the seed alone, and shard i on
the seed and i. --check prints beside each other what it makes and what is real (realism.py).
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import numpy as np

import lar
from benches.mining.pipeline import TokenTable
from benches.resampling.agent_turns import AgentTurns, Trajectories, ends, load_turns
from benches.resampling.atoms import TokenShapes, cut_into_atoms
from benches.resampling.hashing import below, mixed, pieces
from benches.resampling.realism import compare
from benches.resampling.splices import Splicer
from benches.resampling.values import Values, write


@dataclass(frozen=True)
class ResamplingOptions:
    """What a resampling can be told.

    jump: the chance, at each atom, that a turn goes on like another.
    orders: numbers of atoms that both turns must have in common there, with the share of each.
    known_to: share of a corpus's tasks; words and numbers that no more of them know are exchanged.
    shard_tokens: about so many tokens make a shard.
    """

    # Chosen by the first comparison of realism.py. Of the 8-grams of real tokens 56% are distinct and 28% are
    # shared by tasks; resampled from an eighth, 55% and 32%. known_to 0.02 gives 44% and 49%, 0.3 gives 61%
    # and 24%; no jumps 51% and 32%, jump 0.1 61% and 32%. Tried before: walkers that jump by the text they
    # read, so that equal text of a task is spliced equally, fell into one another's ways (30% distinct).
    jump: float = 0.015
    orders: dict[int, float] = field(default_factory=lambda: {3: 0.1, 4: 0.4, 6: 0.5})
    known_to: float = 0.15
    shard_tokens: int = 2_000_000
    seed: int = 0


class Resampler:
    """Makes shards of trajectories that take after real ones."""

    def __init__(self, real: AgentTurns, shapes: TokenShapes, options: ResamplingOptions) -> None:
        """Analyse `real`, whose ids have these `shapes`."""
        self._real = real
        self._digits = shapes.digits
        self._atoms = cut_into_atoms(real, shapes, options.known_to)
        self._values = Values.of(self._atoms)
        self._splicer = Splicer(self._atoms, options.jump, options.orders)
        self._tasks = ends(np.bincount(real.tasks))
        tokens_of_task = len(real.tokens) / (len(self._tasks) - 1)
        self._shard_tasks = max(1, round(options.shard_tokens / tokens_of_task))
        self._seed = mixed(np.array([options.seed], dtype=np.uint64) + np.uint64(1))

    def shard(self, number: int) -> Trajectories:
        """Shard `number`: always of as many tasks, which no other shard has."""
        tasks = np.arange(number * self._shard_tasks, (number + 1) * self._shard_tasks)
        keys = mixed(mixed(tasks.astype(np.uint64)) + self._seed)
        real_tasks = below(mixed(keys), np.full(len(keys), len(self._tasks) - 1))
        attempts = np.diff(self._tasks)[real_tasks]
        trajectories = pieces(self._tasks[real_tasks], attempts)
        lengths = np.diff(self._real.trajectories)[trajectories]
        turns = pieces(self._real.trajectories[trajectories], lengths)
        turn_keys = np.repeat(np.repeat(keys, attempts), lengths)
        spliced = self._splicer.walk(turns, turn_keys)
        of_turn = np.repeat(spliced.turn, spliced.length)
        said = pieces(spliced.start, spliced.length)
        tokens, sizes = write(self._atoms, self._values, self._digits, said, turn_keys[of_turn])
        turn_sizes = np.bincount(of_turn, weights=sizes, minlength=len(turns)).astype(np.int64)
        offsets = ends(turn_sizes)[ends(lengths)]
        return Trajectories(tokens, offsets, np.repeat(tasks, attempts).astype(np.uint32))

    def shards(self, tokens: int, first: int = 0) -> Iterator[Trajectories]:
        """Shards from number `first` on, `tokens` in all; the last ends with the last whole trajectory."""
        for number in count(first):
            shard = self.shard(number)
            if len(shard.tokens) >= tokens:
                yield shard.first(tokens)
                return
            tokens -= len(shard.tokens)
            yield shard

    def corpus(self, tokens: int) -> Trajectories:
        """All shards of so many tokens end to end."""
        parts = list(self.shards(tokens))
        return Trajectories(
            tokens=np.concatenate([part.tokens for part in parts]),
            offsets=ends(np.concatenate([np.diff(part.offsets) for part in parts])),
            tasks=np.concatenate([part.tasks for part in parts]),
        )


def add_source(parser: argparse.ArgumentParser) -> None:
    """The options that name the real trajectories."""
    parser.add_argument("--data", type=Path, required=True, help="folder of trajectory files")
    parser.add_argument("--tokenizer", type=Path, required=True)
    parser.add_argument("--cache", type=Path, required=True, help="folder to keep tokenized corpora in")
    parser.add_argument("--corpora", nargs="+", help="file names without their ends (default: all)")
    parser.add_argument("--seed", type=int, default=0)


def load_source(options: argparse.Namespace) -> tuple[AgentTurns, TokenShapes]:
    """The real turns that the options name, each corpus in proportion to its size, and the ids' shapes."""
    tokenizer = lar.Tokenizer.load(options.tokenizer)
    names = options.corpora or sorted(path.name[:-9] for path in options.data.glob("*.jsonl.gz"))
    if not names:
        raise SystemExit(f"{options.data}: no .jsonl.gz there")
    return load_turns(options.data, names, tokenizer, options.cache), TokenShapes.of(tokenizer)


def main() -> None:
    """Write a corpus, or compare some with the real one."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    add_source(parser)
    task = parser.add_mutually_exclusive_group(required=True)
    task.add_argument("--tokens", type=int, help="action tokens to make")
    task.add_argument("--check", action="store_true", help="compare with the real trajectories")
    parser.add_argument("-o", "--output", type=Path, help="an .npz of tokens, offsets and tasks")
    options = parser.parse_args()
    if options.tokens and not options.output:
        parser.error("--tokens needs --output")
    real, shapes = load_source(options)
    settings = ResamplingOptions(seed=options.seed)
    if options.check:
        tokens = TokenTable.of(lar.Tokenizer.load(options.tokenizer))
        print(compare(real, tokens, lambda turns: Resampler(turns, shapes, settings).corpus))
    else:
        np.savez(options.output, **vars(Resampler(real, shapes, settings).corpus(options.tokens)))


if __name__ == "__main__":
    main()
