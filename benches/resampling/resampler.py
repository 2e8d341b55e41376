r"""Corpora of any size with the statistics of real ones: real trajectories with new text and new values.

    python -m benches.resampling.resampler --data shared/data --tokenizer shared/tokenizers/qwen3 \
        --cache cache

A synthetic task is modelled on a real one: it has as many trajectories with as many turns. Each turn begins
like the real turn and continues with pieces of others of the same corpus (splices.py). Then names, ids and
amounts are replaced, consistently within the task (values.py). The result depends on the seed alone, and
shard i on the seed and i. The command prints statistics of resampled and real corpora side by side
(realism.py).
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import numpy as np

import lar
from benches import entry
from benches.mining.pipeline import TokenTable
from benches.resampling.agent_turns import AgentTurns, Trajectories, ends, load_turns
from benches.resampling.atoms import TokenShapes, cut_into_atoms
from benches.resampling.hashing import below, mixed, pieces
from benches.resampling.realism import compare
from benches.resampling.splices import Splicer
from benches.resampling.values import Values, write


@dataclass(frozen=True)
class ResamplingOptions:
    """The options of a resampling.

    jump: the probability, at each atom, that a turn continues with a piece of another turn.
    orders: how many preceding atoms both turns must share there, with the share of each number.
    known_to: words and numbers that occur in at most this share of a corpus's tasks are replaced.
    shard_tokens: approximate number of tokens of a shard.
    """

    # Chosen by the first comparison of realism.py. Of the 8-grams of real tokens 56% are distinct and 28% are
    # shared by tasks; resampled from an eighth, 55% and 32%. known_to 0.02 gives 44% and 49%, 0.3 gives 61%
    # and 24%; no jumps 51% and 32%, jump 0.1 61% and 32%. Tried before: jumps that depend on the text just
    # read, so that equal text of a task is spliced equally. Then turns converged (30% distinct).
    jump: float = 0.015
    orders: dict[int, float] = field(default_factory=lambda: {3: 0.1, 4: 0.4, 6: 0.5})
    known_to: float = 0.15
    shard_tokens: int = 2_000_000
    seed: int = 0


class Resampler:
    """Makes shards of trajectories that are modelled on real ones."""

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
        """Shard `number`. All shards have the same number of tasks, and no two share a task."""
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
        written = pieces(spliced.start, spliced.length)
        tokens, sizes = write(self._atoms, self._values, self._digits, written, turn_keys[of_turn])
        turn_sizes = np.bincount(of_turn, weights=sizes, minlength=len(turns)).astype(np.int64)
        offsets = ends(turn_sizes)[ends(lengths)]
        return Trajectories(tokens, offsets, np.repeat(tasks, attempts).astype(np.uint32))

    def shards(self, tokens: int, first: int = 0) -> Iterator[Trajectories]:
        """Shards from number `first` on with `tokens` in all; the last is cut after a whole trajectory."""
        for number in count(first):
            shard = self.shard(number)
            if len(shard.tokens) >= tokens:
                yield shard.first(tokens)
                return
            tokens -= len(shard.tokens)
            yield shard

    def corpus(self, tokens: int) -> Trajectories:
        """The shards of `tokens` tokens, concatenated."""
        parts = list(self.shards(tokens))
        return Trajectories(
            tokens=np.concatenate([part.tokens for part in parts]),
            offsets=ends(np.concatenate([np.diff(part.offsets) for part in parts])),
            tasks=np.concatenate([part.tasks for part in parts]),
        )


def add_source(parser: argparse.ArgumentParser) -> None:
    """Add the options that name the real trajectories."""
    parser.add_argument("--data", type=Path, required=True, help="folder of trajectory files")
    parser.add_argument("--tokenizer", type=Path, required=True, help="tokenizer folder")
    parser.add_argument("--cache", type=Path, required=True, help="folder to keep tokenized corpora in")
    parser.add_argument("--corpora", nargs="+", help="file names without .jsonl.gz (default: all)")
    parser.add_argument("--seed", type=int, default=0, help="of the resampling")


def load_source(options: argparse.Namespace) -> tuple[AgentTurns, TokenShapes]:
    """The real turns of all corpora that the options name, and the shapes of the tokenizer's ids."""
    tokenizer = lar.Tokenizer.load(options.tokenizer)
    names = options.corpora or sorted(path.name[:-9] for path in options.data.glob("*.jsonl.gz"))
    if not names:
        raise SystemExit(f"{options.data}: no .jsonl.gz file")
    return load_turns(options.data, names, tokenizer, options.cache), TokenShapes.of(tokenizer)


def main() -> None:
    """Print resampled corpora beside the real one."""
    parser = entry.parser(__doc__)
    add_source(parser)
    options = parser.parse_args()
    real, shapes = load_source(options)
    settings = ResamplingOptions(seed=options.seed)
    tokens = TokenTable.of(lar.Tokenizer.load(options.tokenizer))
    print(compare(real, tokens, lambda turns: Resampler(turns, shapes, settings).corpus))


if __name__ == "__main__":
    entry.run(main)
