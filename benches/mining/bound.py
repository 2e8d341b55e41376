"""How far the mined vocabularies are from the best ones of K segments, and from what no vocabulary can reach.

    python -m benches.mining.bound --data shared/data --tokenizer shared/tokenizers/qwen3 -o bound.json

All figures are shares of the agent's tokens saved, in base tokens: units are segments of at most 128 tokens
and single tokens, and no engine gate is asked. For each corpus and size, on one split by tasks:

bpe, lar           on the held-out tasks: merges and latents from the training tasks.
best_parse         the same latents with the shortest parse in place of leftmost-longest.
oracle             on the held-out tasks: segments that occur in the training tasks, chosen with the held-out
                   text known. oracle_best_parse: the same with the shortest parse.
seen               bound for the held-out tasks: no K segments that occur in the training tasks save more.
any                the same for K segments of any kind.
shared             bound for all tasks together: no K segments that occur in two tasks save more.
fresh              the same for K segments of any kind.
training           on the training tasks: what the mined latents save.
training_bound     on the same: no K segments that occur in two of them save more. The distance is what the
                   search loses, and what selection gives up here for the sake of unseen tasks.

**How to read the bounds.** `seen` and `any` hold for these held-out tasks. A chooser that sees only training
tasks cannot know which of its segments these will use. So on few tasks they are far above what it can reach.
`fresh` holds on average. Segments that were chosen on other tasks save, of N fresh tasks, as large a share as
of one, and at most what the best K segments for those N save. So if tasks are independent draws, the mean of
`fresh` is at least the mean held-out reduction of *any* chooser, with any number of training tasks. `shared`
is smaller. It holds on average for a chooser whose segments, those that two tasks share, save at least as
much of its own tasks as all of them do of unseen ones. That is expected, not proven.

The bounds themselves are derived in `token_prices.py`. A text of more than `--most-tokens` is sampled by
whole tasks; the held-out figures of the row are then of the sampled tasks. Sizes of a corpus that the output
file has are not measured again; it takes no others of another tokenizer, seed or bound on tokens.
"""

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import lar
from benches import entry
from benches.mining.peers import BpeMerges, agent_runs
from benches.mining.reduction import CORPORA, HELD_OUT, run
from benches.mining.substrings import Substrings, Text, saved_by_best_parse
from benches.mining.token_prices import Bound, most_saved
from lar import _core
from lar.errors import OptionError
from lar.mining.options import MiningOptions
from lar.utils.files import read_json, write_json

LONGEST = MiningOptions.max_length
# The oracle chooses among this many strings for each segment: those that the linear program takes most of.
POOL = 4
# As if each run occurred in so many tasks: selection then trusts all counts alike.
TASKS = 100
# Apart from all seeds of splits: the side of a task depends on its name and the seed alone.
SAMPLE_SEED = 1_000
# Above this size, K segments of any kind hold most of a small text, and no bound for them is computed.
LOOSE = 256


def main() -> None:
    """Measure each corpus, write its figures as soon as they are there, print its rows."""
    parser = entry.parser(__doc__)
    entry.add_logs(parser, CORPORA)
    parser.add_argument(
        "--sizes", nargs="+", type=entry.positive, default=[64, 256, 1024], help="numbers of latents"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the split by tasks")
    parser.add_argument(
        "--most-tokens",
        type=entry.positive,
        default=300_000,
        help="base tokens of a text above which it is sampled by tasks",
    )
    parser.add_argument("-o", "--output", type=Path, required=True, help="JSON file of the figures")
    options = parser.parse_args()
    results = read_json(options.output) if options.output.exists() else {}
    for name in options.corpora:
        found = begun(results, name, options)
        missing = [size for size in options.sizes if str(size) not in found["sizes"]]
        if not missing:
            continue
        with tempfile.TemporaryDirectory() as folder:
            corpus = build(options.data / f"{name}.jsonl.gz", Path(folder), options.tokenizer)
            sides = sides_of(corpus, options)
            found["texts"] = {name: side.to_dict() for name, side in sides.items()}
            for size in missing:
                found["sizes"][str(size)] = measure(sides, size)
                print(row(name, size, found["sizes"][str(size)]), flush=True)
                write_json(options.output, results)


def begun(results: dict[str, Any], name: str, options: argparse.Namespace) -> dict[str, Any]:
    """The figures of a corpus so far, with the options that they are of.

    Raises:
        OptionError: they are of other options.
    """
    of = {key: entry.as_json(options)[key] for key in ("tokenizer", "seed", "most_tokens")}
    found: dict[str, Any] = results.setdefault(name, {"options": of, "sizes": {}})
    if found.setdefault("options", of) != of:
        raise OptionError(f"{options.output}: {name} was measured with {found['options']}, not with {of}")
    return found


def build(source: Path, folder: Path, tokenizer: Path) -> lar.Corpus:
    """The corpus of a file of trajectories."""
    run("import", source, "-o", folder / "trajectories.parquet")
    run("corpus", folder / "trajectories.parquet", "--tokenizer", tokenizer, "-o", folder / "corpus")
    return lar.Corpus.load(folder / "corpus")


def sides_of(corpus: lar.Corpus, options: argparse.Namespace) -> dict[str, "Side"]:
    """The texts of one corpus; `train_sample` is what bounds take of the training tasks."""
    train, held_out = corpus.split(HELD_OUT, options.seed)
    return {
        "train": Side(train),
        "train_sample": Side(sampled(train, options.most_tokens)),
        "held_out": Side(sampled(held_out, options.most_tokens)),
        "whole": Side(sampled(corpus, options.most_tokens)),
    }


def measure(sides: dict[str, "Side"], size: int) -> dict[str, Any]:
    """All figures of one size."""
    began = time.perf_counter()
    return reached(sides, size) | bounds(sides, size) | {"seconds": round(time.perf_counter() - began, 1)}


def sampled(corpus: lar.Corpus, most_tokens: int) -> lar.Corpus:
    """The corpus, or whole tasks of it with about so many of the agent's tokens."""
    share = most_tokens / corpus.num_action_tokens
    return corpus if share >= 1 else corpus.split(share, SAMPLE_SEED)[1]


class Side:
    """The tasks of one side of the split, with their runs."""

    def __init__(self, corpus: lar.Corpus) -> None:
        self.corpus = corpus
        self.total = corpus.num_action_tokens
        self.runs = agent_runs(corpus)
        self.text = Text.of_tasks(self.runs)

    def to_dict(self) -> dict[str, int]:
        """Its tasks, and the agent's tokens in them."""
        return {"tasks": len(self.corpus.tasks), "tokens": self.total}

    def saved(self, tokens: NDArray[np.uint32], offsets: NDArray[np.int64]) -> float:
        """The share of tokens that segments save by the parse leftmost-longest."""
        uses = self.runs.count_uses(tokens, offsets).astype(np.int64)
        return int((uses * (np.diff(offsets) - 1)).sum()) / self.total

    def best_saved(self, tokens: NDArray[np.uint32], offsets: NDArray[np.int64]) -> float:
        """The share of tokens that segments save by the shortest parse."""
        return saved_by_best_parse(self.text, tokens, offsets) / self.total


def reached(sides: dict[str, Side], size: int) -> dict[str, Any]:
    """What vocabularies from the training tasks save."""
    train, held_out = sides["train"], sides["held_out"]
    segments = lar.mine(train.corpus, size=size, gates="none").segments
    arrays = segments.tokens, segments.offsets
    return {
        "bpe": BpeMerges.train(train.runs, size).saved(held_out.runs) / held_out.total,
        "lar": held_out.saved(*arrays),
        "best_parse": held_out.best_saved(*arrays),
        "training": sides["train_sample"].saved(*arrays),
    }


def bounds(sides: dict[str, Side], size: int) -> dict[str, Any]:
    """The bounds, and the oracle for the held-out tasks."""
    train, held_out, whole, sample = (sides[name] for name in ("train", "held_out", "whole", "train_sample"))
    seen, strings = most_saved(held_out.text.seen_in(train.text), size, LONGEST)
    chosen = oracle(held_out, seen, strings, size)
    found = {
        "oracle": held_out.saved(*chosen),
        "oracle_best_parse": held_out.best_saved(*chosen),
        "seen": seen.saving / held_out.total,
    }
    texts = [("shared", whole, whole.text), ("training_bound", sample, sample.text)]
    if size <= LOOSE:
        texts += [("any", held_out, held_out.text.of_any()), ("fresh", whole, whole.text.of_any())]
    for name, side, text in texts:
        found[name] = most_saved(text, size, LONGEST)[0].saving / side.total
    return found


def oracle(
    side: Side, bound: Bound, strings: Substrings, size: int
) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
    """Segments chosen with the side's text known: by our selection, among what the program takes most of."""
    order = np.argsort(-bound.shares, kind="stable")[: POOL * size]
    pool = np.zeros(len(strings), dtype=np.bool_)
    pool[order] = True
    segments = strings.subset(pool).segments(side.text)
    tokens, offsets, counts, *_ = side.runs.to_arrays()
    tasks = np.tile(np.arange(TASKS, dtype=np.uint32), len(counts))
    trusted = _core.Runs.from_arrays(tokens, offsets, counts, tasks, TASKS * np.arange(len(counts) + 1))
    chosen, chosen_offsets, *_ = trusted.select(trusted.as_candidates(*segments), size).to_arrays()
    return chosen, chosen_offsets


COLUMNS = ["bpe", "lar", "best_parse", "oracle", "oracle_best_parse", "seen", "any", "shared", "fresh"]


def row(name: str, size: int, found: dict[str, Any]) -> str:
    """One line of the table."""
    figures = ", ".join(f"{column} {found[column]:.1%}" for column in COLUMNS if column in found)
    training = f"training {found['training']:.1%} of {found['training_bound']:.1%}"
    return f"{name:<19}K = {size:<5}{figures}, {training}, {found['seconds']} s"


if __name__ == "__main__":
    entry.run(main)
