"""`lar mine` with its defaults on a large corpus: seconds and memory of the command, beside `--gates none`.

    python -m benches.mining.defaults --data shared/data --tokenizer shared/tokenizers/qwen3 --cache cache \
        -o defaults.json

The agent's turns are resampled from real ones (benches/resampling/resampler.py). Each stands in a
conversation, behind a prompt of a few tokens as the chat template writes it, so a corpus has fewer prompt
tokens than real logs have. The corpus stays in CACHE. Each command is a process of its own, and its time has
all of it: Python, the tokenizer, reading and writing.
"""

import argparse
from collections.abc import Iterable, Iterator
from itertools import count, pairwise
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

import lar
from benches import entry
from benches.mining.reduction import run
from benches.resampling.agent_turns import Trajectories
from benches.resampling.resampler import Resampler, ResamplingOptions, add_source, load_source
from lar.trajectories.schema import Message, Trajectory
from lar.utils.files import write_json

GATES = ("default", "none")


def main() -> None:
    """Build the corpora that are missing, mine each with and without gates, print a row as it is done."""
    parser = entry.parser(__doc__)
    add_source(parser)
    parser.add_argument(
        "--tokens",
        nargs="+",
        type=entry.positive,
        default=[10_000_000, 100_000_000],
        help="action tokens of the corpora",
    )
    parser.add_argument(
        "--gates", nargs="+", default=GATES, help="engine gates, as for lar mine; `default` names none"
    )
    parser.add_argument(
        "--repeats", type=entry.positive, default=3, help="number of measurements; the median is reported"
    )
    parser.add_argument("-o", "--output", type=Path, required=True, help="JSON file of the figures")
    options = parser.parse_args()
    print(f"{'action tokens':>13} {'tokens':>13} {'gates':<10} {'seconds':>8} {'MiB':>6} {'reduction':>9}")
    rows = []
    for tokens in options.tokens:
        folder = corpus_of(tokens, options)
        for gates in options.gates:
            rows.append(measured(folder, gates, options))
            print(_line(rows[-1]), flush=True)
    write_json(options.output, rows)


def corpus_of(tokens: int, options: argparse.Namespace) -> Path:
    """The folder of the corpus with so many of the agent's tokens; it is built where it is missing."""
    folder: Path = options.cache / f"resampled-{tokens}-{options.seed}"
    if not folder.is_dir():
        resampler = Resampler(*load_source(options), ResamplingOptions(seed=options.seed))
        tokenizer = lar.Tokenizer.load(options.tokenizer)
        lar.Corpus.build(_trajectories(resampler.shards(tokens), tokenizer), tokenizer, folder)
    return folder


def measured(folder: Path, gates: str, options: argparse.Namespace) -> dict[str, Any]:
    """The medians of one command over the repetitions, and what it printed the last time."""
    chosen = [] if gates == "default" else ["--gates", gates]
    vocabulary = options.cache / "vocabulary"
    runs = [run("mine", folder, *chosen, "--overwrite", "-o", vocabulary) for _ in range(options.repeats)]
    corpus = lar.Corpus.load(folder)
    return {
        "action_tokens": corpus.num_action_tokens,
        "tokens": corpus.num_tokens,
        "gates": gates,
        "seconds": median(found["seconds"] for found in runs),
        "peak_mib": median(found["peak_mib"] for found in runs),
        "result": runs[-1]["result"],
    }


def _line(row: dict[str, Any]) -> str:
    return (
        f"{row['action_tokens']:13,} {row['tokens']:13,} {row['gates']:<10} {row['seconds']:8.1f} "
        f"{row['peak_mib']:6.0f} {row['result']['reduction']:9.2%}"
    )


def _trajectories(shards: Iterable[Trajectories], tokenizer: lar.Tokenizer) -> Iterator[Trajectory]:
    """The conversations of shards: the agent answers "Go on." with each of its turns."""
    is_barrier = np.zeros(tokenizer.base_size, dtype=np.bool_)
    is_barrier[tokenizer.barriers] = True
    asked: Message = {"role": "user", "content": "Go on."}
    for shard, number in zip(shards, count(), strict=False):
        for row, (begin, end) in enumerate(pairwise(shard.offsets.tolist())):
            tokens = shard.tokens[begin:end]
            turns = np.split(tokens, np.flatnonzero(is_barrier[tokens]))
            texts = [tokenizer.decode(turn[~is_barrier[turn]].tolist()) for turn in turns]
            messages: list[Message] = []
            for text in filter(None, texts):
                messages += [asked, {"role": "assistant", "content": text}]
            yield Trajectory(f"{number}-{row}", str(shard.tasks[row]), messages)


if __name__ == "__main__":
    entry.run(main)
