r"""Speed of scoring beside plain matrix products, and of distillation beside plain LoRA.

    python -m benches.training.throughput --shape qwen3-8b --trajectories mini_swe_gemini3.jsonl.gz \
        --tokenizer qwen3/

Weights are random, in the architecture's public shape; conversations are real. All arms alternate
(A B C A B C ...) in one process and medians are reported. `lar.distill` and its peer, PEFT's LoRA in
transformers' Trainer, train on the same packed rows. The start of the rows, above all the fit of the output
rows, is no part of a step and has seconds of its own. Memory is the GPU's peak; on a CPU it is the peak of a
separate process for each arm.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice, pairwise
from pathlib import Path
from statistics import median
from typing import Any

import torch

import lar
from benches import entry
from benches.claim import claim
from benches.training.shapes import (
    SHAPES,
    forward_operations,
    multiplied_parameters,
    padded_rows,
    random_model,
)
from benches.training.throughput_table import print_table
from benches.training.training_arms import (
    ARMS,
    CACHED,
    LORA,
    Bench,
    Steps,
    forget_peak,
    peak_memory,
    run_alternating,
    summary,
)
from lar.corpus.windows import windows
from lar.distillation import DistillOptions
from lar.distillation.data import Examples
from lar.distillation.options import OUTPUT_STARTS
from lar.models.attention import choose_attention
from lar.scoring import store
from lar.utils.files import write_json

# What the corpora and latents in --work are made of.
KEPT = ("trajectories", "tokenizer", "mined", "size", "scored", "trained")
PIECES = ("matmul", "score", "distill")


def main() -> None:
    """Measure the chosen pieces, write the record and print the table."""
    options = parser().parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    with tempfile.TemporaryDirectory() as temporary:
        options.work = options.work or Path(temporary)
        claim(options.work, {name: entry.as_json(options)[name] for name in KEPT})
        setting = Setting.of(options)
        if options.memory_of:
            print(bench_of(setting, options).run(options.memory_of).memory)
            return
        record = {"setting": setting.to_dict(options), **_measure(setting, options)}
    write_json(options.output, record)
    print_table(record)


def parser() -> argparse.ArgumentParser:
    """The parser of the bench's options."""
    parser = entry.parser(__doc__)
    parser.add_argument(
        "--shape", choices=SHAPES, required=True, help="public architecture whose shape the model has"
    )
    parser.add_argument("--trajectories", type=Path, required=True, help="file of trajectories")
    parser.add_argument("--tokenizer", type=Path, required=True, help="tokenizer folder")
    parser.add_argument(
        "--piece",
        choices=PIECES,
        action="append",
        help="measure only this piece; may be repeated (default: all)",
    )
    parser.add_argument("--device", help='for example "cpu" (default: the GPU if there is one)')
    parser.add_argument("--threads", type=entry.positive, help="torch threads on a CPU (default: torch's)")
    parser.add_argument(
        "--rounds", type=entry.positive, default=3, help="measured rounds, after one that warms up"
    )
    parser.add_argument("--mined", type=entry.positive, help="trajectories to mine (default: all)")
    parser.add_argument("--size", type=entry.positive, default=1024, help="number of latents")
    parser.add_argument("--scored", type=entry.positive, default=16, help="trajectories to score")
    parser.add_argument(
        "--score-length", type=entry.positive, help="tokens of a window to score (default: the context)"
    )
    parser.add_argument("--trained", type=entry.positive, default=16, help="trajectories to train on")
    parser.add_argument("--max-length", type=entry.positive, default=2048, help="base tokens of a window")
    parser.add_argument(
        "--batch-tokens", type=entry.positive, help="base tokens of a packed row (default: --max-length)"
    )
    parser.add_argument(
        "--steps", type=entry.positive, default=4, help="steps of each run, after one that warms up"
    )
    parser.add_argument(
        "--output-start",
        choices=OUTPUT_STARTS,
        default=DistillOptions.output_start,
        help="start of the student's output rows",
    )
    parser.add_argument("--checkpointing", action="store_true", help="gradient checkpointing in all arms")
    parser.add_argument("--cache", action="store_true", help="add the student with a cached teacher")
    parser.add_argument("--work", type=Path, help="folder that keeps corpora and latents (default: none)")
    parser.add_argument(
        "--memory-of",
        choices=ARMS,
        help="only print the peak memory of this arm's run, in bytes (default: measure all)",
    )
    parser.add_argument(
        "-o", "--output", type=Path, default=Path("throughput.json"), help="JSON file of the figures"
    )
    return parser


def _corpus(options: argparse.Namespace, name: str, tokenizer: lar.Tokenizer) -> lar.Corpus:
    """The corpus of the first trajectories; option `name` gives their number."""
    folder = options.work / name
    if not folder.exists():
        source = islice(lar.read_trajectories(options.trajectories), getattr(options, name))
        lar.Corpus.build(source, tokenizer, folder)
    return lar.Corpus.load(folder)


@dataclass(frozen=True)
class Setting:
    """The model, the corpora and the latents."""

    shape: str
    model: Any
    scored: lar.Corpus
    trained: lar.Corpus
    vocabulary: lar.LatentVocabulary

    @classmethod
    def of(cls, options: argparse.Namespace) -> "Setting":
        """Build the corpora in the folder --work, mine the latents, and make the model."""
        tokenizer = lar.Tokenizer.load(options.tokenizer)
        corpora = {name: _corpus(options, name, tokenizer) for name in ("scored", "trained")}
        folder = options.work / "vocabulary"
        if not folder.exists():
            lar.mine(_corpus(options, "mined", tokenizer), size=options.size).save(folder)
        device = torch.device(options.device or ("cuda" if torch.cuda.is_available() else "cpu"))
        model = random_model(SHAPES[options.shape], padded_rows(tokenizer.base_size), device)
        choose_attention(model, "auto")
        return cls(options.shape, model, **corpora, vocabulary=lar.LatentVocabulary.load(folder))

    def to_dict(self, options: argparse.Namespace) -> dict[str, Any]:
        """The setting as JSON-ready values."""
        rows = self.vocabulary.base_size
        layers, head = multiplied_parameters(SHAPES[self.shape], rows)
        on_gpu = self.model.device.type == "cuda"
        return {
            "shape": self.shape,
            "rows": rows,
            "parameters": {"layers": layers, "head": head},
            "latents": len(self.vocabulary),
            "device": torch.cuda.get_device_name() if on_gpu else f"cpu, {torch.get_num_threads()} threads",
            "dtype": str(self.model.dtype),
            "attention": self.model.config._attn_implementation,
            "torch": torch.__version__,
            "options": {name: str(value) for name, value in vars(options).items()},
            **self._units(options.max_length),
        }

    def _units(self, max_length: int) -> dict[str, float]:
        """Units per base token over whole conversations, and the share of units that are supervised."""
        found = list(Examples(self.trained, self.vocabulary, max_length))
        units, tokens = sum(len(one.units) for one in found), sum(len(one.tokens) for one in found)
        supervised = sum(len(one.supervised) for one in found)
        return {"units_per_base_token": units / tokens, "supervised_share_of_units": supervised / units}


def _measure(setting: Setting, options: argparse.Namespace) -> dict[str, Any]:
    """The figures of the chosen pieces; rounds of products and of scoring alternate."""
    pieces = options.piece or PIECES
    found: dict[str, Any] = {}
    if "matmul" in pieces or "score" in pieces:
        found.update(_products_and_scores(setting, options, pieces))
    if "distill" in pieces:
        found["distill"] = _training(setting, options)
    return found


def _products_and_scores(
    setting: Setting, options: argparse.Namespace, pieces: Iterable[str]
) -> dict[str, Any]:
    rounds = [product_and_score(setting, options, score="score" in pieces) for _ in range(options.rounds + 1)]
    return score_summary(rounds[1:])


def product_and_score(
    setting: Setting, options: argparse.Namespace, *, score: bool = True
) -> tuple[float, dict[str, float] | None]:
    """One round: the rate of the plain product, and the result of `scoring` if `score`."""
    rate = product_rate(setting.model, SHAPES[setting.shape].inner)
    found = scoring(setting, options) if score else None
    if found is not None:
        print(f"scored at {found['flops'] / rate:.1%} of the plain product's rate", flush=True)
    return rate, found


def score_summary(rounds: list[tuple[float, dict[str, float] | None]]) -> dict[str, Any]:
    """Medians over the rounds, and the median of the rounds' shares of the product's rate."""
    found: dict[str, Any] = {"matmul": {"flops": median(rate for rate, _ in rounds)}}
    pairs = [(rate, scored) for rate, scored in rounds if scored is not None]
    if pairs:
        middle = {name: median(scored[name] for _, scored in pairs) for name in pairs[0][1]}
        share = median(scored["flops"] / rate for rate, scored in pairs)
        found["score"] = {**middle, "share_of_matmul": share}
    return found


def product_rate(model: Any, inner: int, tokens: int | None = None, repeats: int = 5) -> float:
    """Operations a second of a plain product with the MLP's shape, on random data in the model's dtype."""
    width, device = model.config.hidden_size, model.device
    tokens = tokens or (16_384 if device.type == "cuda" else 1024)
    left = torch.randn(tokens, width, dtype=model.dtype, device=device)
    right = torch.randn(width, inner, dtype=model.dtype, device=device)
    inside = max(1, int(2e13 if device.type == "cuda" else 2e10) // (2 * tokens * width * inner))
    seconds = []
    for _ in range(repeats + 1):
        _synchronize(device)
        began = time.perf_counter()
        for _ in range(inside):
            torch.mm(left, right)
        _synchronize(device)
        seconds.append(time.perf_counter() - began)
    return 2.0 * tokens * width * inner * inside / median(seconds[1:])


def window_lengths(corpus: lar.Corpus, longest: int) -> Iterator[int]:
    """Tokens of each window that `lar.score` reads; a long conversation is several windows."""
    for shard in corpus.shards():
        for start, end in pairwise(shard.offsets.tolist()):
            yield from map(len, windows(shard.action[start:end], longest))


def scoring(setting: Setting, options: argparse.Namespace) -> dict[str, float]:
    """The figures of one call of `lar.score`, reading and writing shards included."""
    model, corpus = setting.model, setting.scored
    longest = options.score_length or SHAPES[setting.shape].context
    lengths = list(window_lengths(corpus, longest))
    operations = forward_operations(SHAPES[setting.shape], setting.vocabulary.base_size, lengths)
    store.clear(corpus)
    forget_peak(model.device)
    began = time.perf_counter()
    lar.score(
        corpus,
        model,
        max_length=options.score_length,
        device=str(model.device),
        overwrite=True,
    )
    seconds = time.perf_counter() - began
    return {
        "tokens": sum(lengths),
        "tokens_per_second": sum(lengths) / seconds,
        "operations_per_token": operations / sum(lengths),
        "flops": operations / seconds,
        "memory": peak_memory(model.device),
    }


def _training(setting: Setting, options: argparse.Namespace) -> dict[str, Any]:
    """Each arm's rate and memory, with their ratios to plain LoRA's."""
    arms = [arm for arm in ARMS if arm != CACHED or options.cache]
    runs = run_alternating(bench_of(setting, options), arms, options.rounds)
    on_gpu = setting.model.device.type == "cuda"
    return training_summary(
        runs, None if on_gpu else {arm: _memory_of_process(arm, options.work) for arm in arms}
    )


def training_summary(
    runs: dict[str, list[Steps]], memory: dict[str, int] | None = None
) -> dict[str, dict[str, float]]:
    """Each arm's rate and memory (default: the largest of its runs), with ratios to plain LoRA's."""
    memory = memory or {arm: max(run.memory for run in of_arm) for arm, of_arm in runs.items()}
    return {
        arm: {
            **summary(of_arm, runs[LORA]),
            "memory": memory[arm],
            "memory_ratio": memory[arm] / memory[LORA],
        }
        for arm, of_arm in runs.items()
    }


def bench_of(setting: Setting, options: argparse.Namespace) -> Bench:
    """The model, data and options that all arms share."""
    return Bench(
        setting.model,
        setting.trained,
        setting.vocabulary,
        DistillOptions(
            loss="marginal",  # the dearest: with a teacher's pass
            output_start=options.output_start,
            max_length=options.max_length,
            batch_tokens=options.batch_tokens,
            max_steps=1 + options.steps,
            gradient_checkpointing=options.checkpointing,
            logging_steps=1,
            save_steps=10**9,
            device=str(setting.model.device),
        ),
    )


def _memory_of_process(arm: str, work: Path) -> int:
    """Peak resident bytes of a process that runs only this arm."""
    command = [sys.executable, "-m", "benches.training.throughput", *sys.argv[1:]]
    command += ["--work", str(work), "--memory-of", arm]
    ended = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return int(ended.stdout.splitlines()[-1])


def _synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


if __name__ == "__main__":
    entry.run(main)
