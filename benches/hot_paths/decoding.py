r"""Milliseconds of a decoding step: a key-value cache that appends in place, and transformers' own.

    python -m benches.hot_paths.decoding --model smollm2/ --shapes 1x900 1x4000 16x900 -o decoding.json

A shape is conversations x units of each. Both caches go on from the same conversations, in turns; their
units are compared. What is timed is a turn of at most `--steps` units, with the reading of a prompt of two.
"""

import argparse
import re
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any
from unittest.mock import patch

import numpy as np
from transformers import DynamicCache

import lar
from benches import entry
from lar.distillation import Student
from lar.generation import batch
from lar.generation.batch import ConversationBatch
from lar.generation.growing_cache import growing_cache
from lar.generation.sampling import Sampling
from lar.models.causal_lm import load_model
from lar.utils.files import write_json

MakeCache = Callable[[Any], DynamicCache]


def main() -> None:
    """Measure each shape, print a row as it is done, write all figures as JSON."""
    parser = entry.parser(__doc__)
    parser.add_argument("--model", type=Path, required=True, help="checkpoint folder")
    parser.add_argument(
        "--shapes",
        type=shape,
        nargs="+",
        default=["1x900", "1x4000", "16x900"],
        help="conversations x units of each",
    )
    parser.add_argument("--steps", type=entry.positive, default=50, help="units of a turn, at most")
    parser.add_argument(
        "--repeats", type=entry.positive, default=5, help="number of measurements; the median is reported"
    )
    parser.add_argument("--device", help='for example "cpu" (default: the GPU if there is one)')
    parser.add_argument("-o", "--output", type=Path, required=True, help="JSON file of the figures")
    options = parser.parse_args()
    model = load_model(options.model, device=options.device)
    student = Student.plain(model, lar.Tokenizer.load(options.model))
    print("| conversations x units | transformers' cache, ms a step | in place, ms a step | ratio |")
    print("|---" * 4 + "|")
    found = {}
    for name in options.shapes:
        rows, units = map(int, name.split("x"))
        copied, grown = measured(student, rows, units, options.steps, options.repeats)
        found[name] = {"copied": copied, "grown": grown}
        print(f"| {name} | {copied:.1f} | {grown:.1f} | {grown / copied:.2f} |", flush=True)
    write_json(options.output, found)


def shape(text: str) -> str:
    """The type of a shape: "16x900" is 16 conversations of 900 units each."""
    if re.fullmatch(r"[1-9]\d*x[1-9]\d*", text) is None:
        raise argparse.ArgumentTypeError(f"conversations x units, such as 16x900; not {text!r}")
    return text


def measured(student: Student, rows: int, units: int, steps: int, repeats: int) -> tuple[float, float]:
    """Medians of the milliseconds of a step: with transformers' cache, and with the growing one."""
    copying = begun(student, rows, units, lambda config: DynamicCache(config=config))
    growing = begun(student, rows, units, growing_cache)
    copied, grown = [], []
    for _ in range(repeats):
        expected = turn(copying, steps, copied)
        if turn(growing, steps, grown) != expected:
            raise SystemExit("the caches led to other units")
    return median(copied), median(grown)


def begun(student: Student, rows: int, units: int, make: MakeCache) -> ConversationBatch:
    """Conversations that have read `units` random units each."""
    draw = np.random.default_rng(0)
    prompts = [draw.integers(100, 1000, units - 1).astype(np.uint32) for _ in range(rows)]
    with patch.object(batch, "growing_cache", make):
        conversations = ConversationBatch(student, rows, max_units=1)
    conversations.reply(prompts)
    return conversations


def turn(conversations: ConversationBatch, steps: int, milliseconds: list[float]) -> list[list[int]]:
    """The units of a turn of at most `steps` units; adds the milliseconds of a step."""
    conversations.sampling = Sampling(max_units=steps)
    began = time.perf_counter()
    written = conversations.reply([np.array([101, 102], dtype=np.uint32)] * len(conversations))
    seconds = time.perf_counter() - began
    units = [generation.units.tolist() for generation in written]
    milliseconds.append(seconds * 1e3 / max(map(len, units)))
    return units


if __name__ == "__main__":
    entry.run(main)
