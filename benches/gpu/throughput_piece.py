"""The piece `throughput`: speed and memory of scoring, training and new rows for one public shape."""

import argparse
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from time import perf_counter
from typing import Any

import torch

from benches.gpu.clock import Clock
from benches.gpu.record import Record
from benches.training import row_cost, throughput, throughput_table
from benches.training.training_arms import ARMS, LORA, Steps, keep_teacher

LATENTS = 1024
FOR_ROWS = 0.15  # share of the piece's time


@dataclass(frozen=True)
class Scale:
    """The size of the piece; tokens are base tokens.

    rounds: measured rounds, after one that warms up. steps: measured steps of a training run, after one that
    warms up. row_units: units of the batch that measures the new rows.
    """

    shape: str | None  # replaces the piece's own
    device: str | None
    rounds: int
    steps: int
    max_length: int
    batch_tokens: int
    row_units: int
    row_rounds: int


FULL = Scale(
    shape=None,
    device=None,
    rounds=3,
    steps=4,
    max_length=2048,
    batch_tokens=8192,
    row_units=2048,
    row_rounds=5,
)


def measure(store: Path, shape: str, scale: Scale, record: Record) -> None:
    """Measure scoring, training and new rows, in that order, as far as the time allows."""
    with _work(store) as work:
        options = _options(work, scale.shape or shape, scale)
        with record.stage("model"):
            setting = throughput.Setting.of(options)
            record.figure("setting", setting.to_dict(options))
            if torch.cuda.is_available():
                record.figure("weights", torch.cuda.memory_allocated())
        if "setting" not in record.figures:
            return
        with record.stage("score"):
            _score(setting, options, record)
        with record.stage("distill"):
            _train(setting, options, record)
        with record.stage("rows"):
            _rows(setting, scale, record)


@contextmanager
def _work(store: Path) -> Iterator[Path]:
    """A temporary copy of the corpora and latents, into which scores are written."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(shutil.copytree(store / "throughput", Path(folder) / "throughput"))


def _options(work: Path, shape: str, scale: Scale) -> argparse.Namespace:
    """The options of `benches.training.throughput`, with the row start that takes no time."""
    text = f"--shape {shape} --rounds {scale.rounds} --steps {scale.steps} --max-length {scale.max_length}"
    text += f" --batch-tokens {scale.batch_tokens} --output-start first --checkpointing --cache"
    if scale.device:
        text += f" --device {scale.device}"
    files = ["--trajectories", str(work), "--tokenizer", str(work / "scored" / "tokenizer")]
    return throughput.parser().parse_args([*text.split(), *files, "--work", str(work)])


def _score(setting: throughput.Setting, options: argparse.Namespace, record: Record) -> None:
    rounds: list[Any] = []
    fits = _Fits(record.clock)
    while len(rounds) <= options.rounds and fits.another():
        with fits.timed():
            rounds.append(throughput.product_and_score(setting, options))
        counted = _counted(rounds)
        record.figure("score rounds", len(rounds) - 1)
        record.figures.update(throughput.score_summary(counted))
        record.write()
    if len(rounds) <= options.rounds:
        record.was_cut(f"score: {len(rounds)} of {options.rounds + 1} rounds, one to warm up")


def _train(setting: throughput.Setting, options: argparse.Namespace, record: Record) -> None:
    """Train the arms alternately; an arm that fails is left out from then on."""
    bench = throughput.bench_of(setting, options)
    keep_teacher(setting.model, setting.trained, bench.options)
    runs: dict[str, list[Steps]] = {arm: [] for arm in ARMS}
    fits = _Fits(record.clock, record.clock.limit * FOR_ROWS)
    for number, arm in product(range(options.rounds + 1), ARMS):
        if arm not in runs:
            continue
        if not fits.another():
            record.was_cut(f"distill: {number} of {options.rounds + 1} rounds, the first to warm up")
            return
        with record.stage(f"round {number}, {arm}"), fits.timed():
            runs[arm].append(bench.run(arm))
        if len(runs[arm]) == number:
            del runs[arm]
        _keep(runs, record)


def _keep(runs: dict[str, list[Steps]], record: Record) -> None:
    """Record the ratios to plain LoRA, over the rounds that all started arms have completed."""
    begun = {arm: of_arm for arm, of_arm in runs.items() if of_arm}
    if LORA in begun:
        complete = min(map(len, begun.values()))
        found = {arm: _counted(of_arm[:complete]) for arm, of_arm in begun.items()}
        record.figure("training rounds", complete - 1)
        record.figure("distill", throughput.training_summary(found))


def _rows(setting: throughput.Setting, scale: Scale, record: Record) -> None:
    """Measure a LoRA step with frozen embeddings, our rows, and PEFT's `trainable_token_indices`."""
    if record.clock.left < record.clock.limit * FOR_ROWS / 2:
        record.was_cut("rows: not begun")
        return
    model, rows = setting.model, setting.vocabulary.base_size
    batch = row_cost.Batch.random(scale.row_units, rows, LATENTS, model.device)

    def memory_of(name: str) -> int:
        return row_cost.memory(row_cost.ARMS[name](model, batch), model.device)

    found = row_cost.measure(model, batch, scale.row_rounds, memory_of)["arms"]
    record.figure("rows", {"units": scale.row_units, "latents": LATENTS, "arms": found})


def _counted(runs: list[Any]) -> list[Any]:
    """The runs without the warm-up run, unless it is the only one."""
    return runs[1:] or runs


class _Fits:
    """Checks whether another run, as long as the longest so far, leaves `kept` seconds."""

    def __init__(self, clock: Clock, kept: float = 0.0) -> None:
        self.clock = clock
        self.kept = kept
        self.longest = 0.0

    def another(self) -> bool:
        return self.clock.left - self.kept > 1.1 * self.longest

    @contextmanager
    def timed(self) -> Iterator[None]:
        began = perf_counter()
        yield
        self.longest = max(self.longest, perf_counter() - began)


def print_table(figures: dict[str, Any]) -> None:
    """Print the figures and the goals."""
    if "setting" in figures:
        throughput_table.print_table(figures)
    print("goals: score 60% of the product; student 0.8x, with the cache 1.0x of plain LoRA; memory 1.15x")
    for name, found in figures.get("rows", {}).get("arms", {}).items():
        seconds, ratio, memory = found["seconds"], found["ratio"], found["memory"] / 2**30
        print(f"rows, {name:<19} {seconds:9.4f} s {ratio:6.3f}x {memory:7.2f} GiB")
