"""The way from logs to figures on real corpora: import, corpus, mine, evaluate; time, memory, reduction.

    python benches/corpora.py --data shared/data --tokenizer shared/tokenizers/qwen3 -o corpora.json

Each step is the command that a user would run, in a process of its own. Tasks are split by name, and every
figure is of held-out tasks, as the mean over the given seeds; beside it BPE merges over token ids by the
`tokenizers` trainer, at the same size, on the same runs of the same split.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from statistics import mean
from typing import Any

from peers import bpe_reduction

import lar

CORPORA = ["tau_bench", "tau2", "fireact", "intercode_sql", "mini_swe_gemini3"]
HELD_OUT = 0.2


def main() -> None:
    """Measure each corpus, print one row as soon as it is done, write all figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of trajectory files")
    parser.add_argument("--tokenizer", type=Path, required=True)
    parser.add_argument("--corpora", nargs="+", default=CORPORA, help="file names without their ends")
    parser.add_argument("--sizes", nargs="+", type=int, default=[256, 1024])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("-o", "--output", type=Path, required=True)
    options = parser.parse_args()
    print(f"reduction on held-out tasks, mean of {len(options.seeds)} splits: lar / BPE merges over ids")
    print(
        "corpus             "
        + "".join(f"K = {size:<17}" for size in options.sizes)
        + "seconds and peak MiB of each step"
    )
    results = {}
    for name in options.corpora:
        with tempfile.TemporaryDirectory() as folder:
            results[name] = measure(options.data / f"{name}.jsonl.gz", Path(folder), options)
        print(row(name, results[name]), flush=True)
    options.output.write_text(json.dumps(results, indent=2) + "\n")


def measure(source: Path, folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """All figures of one corpus."""
    trajectories, corpus = folder / "trajectories.parquet", folder / "corpus"
    steps = {
        "import": run("import", source, "-o", trajectories),
        "corpus": run("corpus", trajectories, "--tokenizer", options.tokenizer, "-o", corpus),
    }
    reductions: dict[str, Any] = {}
    for size in options.sizes:
        found = [reduction(folder, corpus, size, seed, steps) for seed in options.seeds]
        peer = [apart(peer_reduction, corpus, size, seed) for seed in options.seeds]
        reductions[str(size)] = {"lar": found, "bpe": peer}
    return {"steps": steps, "reductions": reductions, "lossless": apart(lossless, folder, corpus)}


def apart(function: Callable[..., Any], *arguments: object) -> Any:
    """Call in a process of its own: a command's peak memory counts its parent's at the start."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def peer_reduction(corpus: Path, size: int, seed: int) -> float:
    """What BPE merges save on the same split."""
    return bpe_reduction(*lar.Corpus.load(corpus).split(HELD_OUT, seed), size)


def reduction(folder: Path, corpus: Path, size: int, seed: int, steps: dict[str, Any]) -> float:
    """Mine on the training tasks, evaluate on the others; the first time both steps are noted."""
    vocabulary = folder / "vocabulary"
    split = ["--hold-out", HELD_OUT, "--split-seed", seed]
    mined = run("mine", corpus, "--size", size, *split, "-o", vocabulary)
    evaluated = run("evaluate", vocabulary, corpus)
    steps.setdefault(f"mine {size}", mined)
    steps.setdefault("evaluate", evaluated)
    return float(evaluated["result"]["reduction"])


def lossless(folder: Path, corpus: Path) -> bool:
    """Whether every token of every conversation comes back, with the last vocabulary mined."""
    vocabulary = lar.LatentVocabulary.load(folder / "vocabulary")
    shards = lar.Corpus.load(corpus).shards()
    return all((vocabulary.expand(vocabulary.encode(shard.tokens)) == shard.tokens).all() for shard in shards)


def run(*arguments: object) -> dict[str, Any]:
    """Run one command; its JSON, wall seconds and peak resident memory."""
    began = time.perf_counter()
    command = [sys.executable, "-m", "lar", *map(str, arguments), "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        output = process.stdout.read() if process.stdout else ""
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} failed")
    seconds = time.perf_counter() - began
    return {"seconds": round(seconds, 1), "peak_mib": usage.ru_maxrss // 1024, "result": json.loads(output)}


def row(name: str, result: dict[str, Any]) -> str:
    """One line of the table."""
    cells = [
        f"-{mean(found['lar']):.1%} / -{mean(found['bpe']):.1%}".ljust(21)
        for found in result["reductions"].values()
    ]
    steps = [f"{step} {found['seconds']} s {found['peak_mib']}" for step, found in result["steps"].items()]
    return f"{name:<19}{''.join(cells)}{', '.join(steps)}{'' if result['lossless'] else '  NOT LOSSLESS'}"


if __name__ == "__main__":
    main()
