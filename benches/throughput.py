"""How fast a teacher scores and a student learns: against the machine's products, and against plain LoRA.

    python benches/throughput.py --shape qwen3-8b --trajectories mini_swe_gemini3.jsonl.gz --tokenizer qwen3/

Weights are random, in the architecture's public shape; conversations are real. Everything runs in turn about
(A B C A B C ...) in one process and medians are reported. `lar.distill` and its peer, PEFT's LoRA in
transformers' Trainer, train on the same packed rows. Memory:
the GPU's peak; on a CPU that of a process for each arm.
"""

import argparse
import json
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
from shapes import SHAPES, forward_operations, multiplied_parameters, random_model, with_known_rows
from training_arms import ARMS, CACHED, LORA, Bench, forget_peak, in_turn, peak_memory, summary

import lar
from lar.attention import ATTENTIONS, choose_attention
from lar.distillation import DistillOptions
from lar.distillation.data import Examples
from lar.windows import windows

PIECES = ("matmul", "score", "distill")


def main() -> None:
    """Measure the pieces that are asked for, write the record and print the table."""
    options = _parser().parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    with tempfile.TemporaryDirectory() as temporary:
        options.work = options.work or Path(temporary)
        setting = Setting.of(options)
        if options.memory_of:
            print(_bench(setting, options).run(options.memory_of).memory)
            return
        record = {"setting": setting.as_json(options), **_measure(setting, options)}
    options.output.write_text(json.dumps(record, indent=2) + "\n")
    print_table(record)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--shape", choices=SHAPES, required=True)
    parser.add_argument("--trajectories", type=Path, required=True)
    parser.add_argument("--tokenizer", type=Path, required=True)
    parser.add_argument("--piece", choices=PIECES, action="append", help="only this one; may be repeated")
    parser.add_argument("--device", help='for example "cpu"; the GPU if there is one')
    parser.add_argument("--threads", type=int, help="of torch on a CPU")
    parser.add_argument("--attention", choices=ATTENTIONS, default="auto")
    parser.add_argument("--compile", action="store_true", help="score with compiled decoder layers")
    parser.add_argument(
        "--rounds", type=int, default=3, help="medians are of so many, after one that warms up"
    )
    parser.add_argument("--mined", type=int, help="trajectories to mine; all by default")
    parser.add_argument("--size", type=int, default=1024, help="number of latents")
    parser.add_argument("--scored", type=int, default=16, help="trajectories to score")
    parser.add_argument("--score-length", type=int, help="tokens of a trajectory to score; the context's")
    parser.add_argument("--score-batch", type=int, help="tokens of a batch to score")
    parser.add_argument("--trained", type=int, default=16, help="trajectories to train on")
    parser.add_argument("--max-length", type=int, default=2048, help="base tokens of a window")
    parser.add_argument("--batch-tokens", type=int, help="base tokens of a packed row")
    parser.add_argument("--steps", type=int, default=4, help="of each run, after one that warms up")
    parser.add_argument("--loss", default="marginal")
    parser.add_argument("--checkpointing", action="store_true", help="gradient checkpointing, in all arms")
    parser.add_argument("--cache", action="store_true", help="also the student with a cached teacher")
    parser.add_argument("--work", type=Path, help="folder that keeps corpora and latents; none by default")
    parser.add_argument("--memory-of", choices=ARMS, help="only say the peak memory of this arm's run")
    parser.add_argument("-o", "--output", type=Path, default=Path("throughput.json"))
    return parser


def _corpus(options: argparse.Namespace, name: str, tokenizer: lar.Tokenizer) -> lar.Corpus:
    """The corpus of the first trajectories, as many as the option of that name says."""
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
        """Build the corpora in the folder `work`, mine, and make the model."""
        tokenizer = with_known_rows(lar.Tokenizer.load(options.tokenizer))
        corpora = {name: _corpus(options, name, tokenizer) for name in ("scored", "trained")}
        folder = options.work / "vocabulary"
        if not folder.exists():
            lar.mine(_corpus(options, "mined", tokenizer), size=options.size).save(folder)
        device = torch.device(options.device or ("cuda" if torch.cuda.is_available() else "cpu"))
        model = random_model(SHAPES[options.shape], tokenizer.base_size, device)
        choose_attention(model, options.attention)
        if options.compile:
            for layer in model.model.layers:
                layer.compile(dynamic=True)  # the arms' copies of the modules are not compiled
        return cls(options.shape, model, **corpora, vocabulary=lar.LatentVocabulary.load(folder))

    def as_json(self, options: argparse.Namespace) -> dict[str, Any]:
        """What was measured, and on what."""
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
        """The student's units for each base token over whole conversations, and the agent's share of them."""
        found = list(Examples(self.trained, self.vocabulary, max_length))
        units, tokens = sum(len(one.units) for one in found), sum(len(one.tokens) for one in found)
        taught = sum(len(one.taught) for one in found)
        return {"units_per_base_token": units / tokens, "taught_share_of_units": taught / units}


def _measure(setting: Setting, options: argparse.Namespace) -> dict[str, Any]:
    """The pieces in order; a round of scoring stands between two of products."""
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
    rates, scorings = [], []
    for _ in range(options.rounds + 1):
        rates.append(product_rate(setting.model, SHAPES[setting.shape].inner))
        if "score" in pieces:
            scorings.append(scoring(setting, options))
            print(
                f"scored at {scorings[-1]['flops'] / rates[-1]:.1%} of the plain product's rate", flush=True
            )
    found: dict[str, Any] = {"matmul": {"flops": median(rates[1:])}}
    if scorings:
        share = median(s["flops"] / rate for s, rate in zip(scorings[1:], rates[1:], strict=True))
        middle = {name: median(one[name] for one in scorings[1:]) for name in scorings[0]}
        found["score"] = {**middle, "share_of_matmul": share}
    return found


def product_rate(model: Any, inner: int, tokens: int | None = None, repeats: int = 5) -> float:
    """Operations a second of a plain product, shaped like the MLP's, on random data in the model's dtype."""
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
    """Tokens of each window that `lar.score` reads: long conversations are read whole, in several."""
    for shard in corpus.shards():
        for start, end in pairwise(shard.offsets.tolist()):
            yield from map(len, windows(shard.action[start:end], longest))


def scoring(setting: Setting, options: argparse.Namespace) -> dict[str, float]:
    """One call of `lar.score`, from shards to shards."""
    model, corpus = setting.model, setting.scored
    longest = options.score_length or SHAPES[setting.shape].context
    lengths = list(window_lengths(corpus, longest))
    operations = forward_operations(SHAPES[setting.shape], setting.vocabulary.base_size, lengths)
    corpus.clear_scores()
    forget_peak(model.device)
    began = time.perf_counter()
    lar.score(
        corpus,
        model,
        max_length=options.score_length,
        batch_tokens=options.score_batch,
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
    """Each arm's rate and memory, and their ratios to plain LoRA's."""
    arms = [arm for arm in ARMS if arm != CACHED or options.cache]
    runs = in_turn(_bench(setting, options), arms, options.rounds)
    on_gpu = setting.model.device.type == "cuda"
    memory = {
        arm: max(run.memory for run in runs[arm]) if on_gpu else _memory_of_process(arm, options.work)
        for arm in arms
    }
    return {
        arm: {
            **summary(runs[arm], runs[LORA]),
            "memory": memory[arm],
            "memory_ratio": memory[arm] / memory[LORA],
        }
        for arm in arms
    }


def _bench(setting: Setting, options: argparse.Namespace) -> Bench:
    return Bench(
        setting.model,
        setting.trained,
        setting.vocabulary,
        DistillOptions(
            loss=options.loss,
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
    """Peak resident bytes of a process that does nothing but this arm."""
    command = [sys.executable, *sys.argv, "--work", str(work), "--memory-of", arm]
    ended = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return int(ended.stdout.splitlines()[-1])


def _synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def print_table(record: dict[str, Any]) -> None:
    """The figures in a few lines."""
    setting = record["setting"]
    units, taught = setting["units_per_base_token"], setting["taught_share_of_units"]
    print(f"\n{setting['shape']} on {setting['device']}, {setting['dtype']}, {setting['attention']}")
    print(f"{units:.3f} units a base token, {taught:.0%} of them taught")
    if "matmul" in record:
        print(f"{'plain product':<25} {record['matmul']['flops'] / 1e12:9.3f} TFLOP/s")
    if "score" in record:
        score = record["score"]
        print(
            f"{'lar.score':<25} {score['flops'] / 1e12:9.3f} TFLOP/s, {score['share_of_matmul']:.1%} of that"
        )
        print(f"{'':<25} {score['tokens_per_second']:9,.0f} tokens/s {_gib(score['memory'])}")
        print(f"{'':<25} {score['operations_per_token'] / 1e9:9.2f} GFLOP a token")
    for arm, found in record.get("distill", {}).items():
        rate = f"{found['base_tokens_per_second']:9,.0f} base tokens/s {found['rate_ratio']:6.3f}x"
        if setting["device"].startswith("cpu"):
            rate += f" ({found['processor_ratio']:.3f}x by processor time)"
        print(f"{arm:<25} {rate} {_gib(found['memory'])} {found['memory_ratio']:6.3f}x")


def _gib(size: float) -> str:
    return f"{size / 2**30:7.2f} GiB"


if __name__ == "__main__":
    main()
