"""The inputs of the hot-path benches: real conversations, and latents mined on them."""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

import lar
from benches import entry

CORPORA = ["tau_bench", "mini_swe_gemini3"]


@dataclass(frozen=True)
class MinedConversations:
    """The m conversations of one corpus, n tokens end to end, and a vocabulary mined on them.

    tokens: uint32 (n); action: bool (n), whether the agent wrote the token; offsets: int64 (m + 1).
    """

    name: str
    tokens: NDArray[np.uint32]
    action: NDArray[np.bool_]
    offsets: NDArray[np.int64]
    vocabulary: lar.LatentVocabulary


def arguments(description: str | None) -> argparse.ArgumentParser:
    """A parser with the options that all hot-path benches share."""
    parser = entry.parser(description)
    entry.add_logs(parser, CORPORA)
    parser.add_argument("--size", type=entry.positive, default=1024, help="number of latents")
    parser.add_argument(
        "--rounds", type=entry.positive, default=5, help="number of measurements; the median is reported"
    )
    parser.add_argument("-o", "--output", type=Path, required=True, help="JSON file of the figures")
    return parser


def read(options: argparse.Namespace, name: str) -> MinedConversations:
    """The conversations of a corpus, and a vocabulary mined on it."""
    trajectories = lar.read_trajectories(options.data / f"{name}.jsonl.gz")
    corpus = lar.Corpus.build(trajectories, lar.Tokenizer.load(options.tokenizer))
    shards = list(corpus.shards())
    lengths = np.concatenate([np.diff(shard.offsets) for shard in shards])
    return MinedConversations(
        name,
        np.concatenate([shard.tokens for shard in shards]),
        np.concatenate([shard.action for shard in shards]),
        np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        lar.mine(corpus, size=options.size),
    )


def seconds(function: Callable[[], object], rounds: int) -> float:
    """Median wall time of `rounds` calls, after one warm-up call."""
    function()
    return median(_time(function) for _ in range(rounds))


def _time(function: Callable[[], object]) -> float:
    began = perf_counter()
    function()
    return perf_counter() - began
