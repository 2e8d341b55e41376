"""From logs to figures on real corpora: import, corpus, mine, evaluate; time, memory, reduction.

    python -m benches.mining.reduction --data shared/data --tokenizer shared/tokenizers/qwen3 -o corpora.json

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

import lar
from benches import entry
from benches.mining.peers import bpe_reduction
from lar.mining.options import MiningOptions
from lar.utils.files import write_json

# Those with ten tasks or more.
CORPORA = [
    "tau_bench",
    "tau2",
    "fireact",
    "intercode_bash",
    "intercode_python",
    "intercode_sql",
    "knowagent_alfworld",
    "knowagent_hotpotqa",
    "mini_swe_gemini3",
    "react_fever",
    "react_webshop",
    "reflexion_hotpotqa",
    "swe_agent_demos",
]
HELD_OUT = 0.2


def main() -> None:
    """Measure each corpus, print one row as soon as it is done, write all figures as JSON."""
    parser = entry.parser(__doc__)
    entry.add_logs(parser, CORPORA)
    parser.add_argument(
        "--sizes", nargs="+", type=entry.positive, default=[64, 256, 1024, 4096], help="numbers of latents"
    )
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2], help="splits of the tasks")
    parser.add_argument(
        "--min-support",
        type=entry.positive,
        default=MiningOptions.min_support,
        help="tasks that a segment must occur in, at least",
    )
    parser.add_argument(
        "--min-count",
        type=entry.positive,
        default=MiningOptions.min_count,
        help="occurrences of a segment, at least",
    )
    parser.add_argument("--gates", default=MiningOptions.gates, help="engine gates, as for lar mine")
    parser.add_argument("-o", "--output", type=Path, required=True, help="JSON file of the figures")
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
    write_json(options.output, results)


def measure(source: Path, folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """All figures of one corpus."""
    trajectories, corpus = folder / "trajectories.parquet", folder / "corpus"
    steps = {
        "import": run("import", source, "--overwrite", "-o", trajectories),
        "corpus": run("corpus", trajectories, "--tokenizer", options.tokenizer, "-o", corpus),
    }
    mined = {
        size: run("mine", corpus, *mine_options(size, options), "--overwrite", "-o", folder / "vocabulary")
        for size in options.sizes
    }
    steps |= {f"mine {size}": found for size, found in mined.items()}
    steps["evaluate"] = run("evaluate", corpus, folder / "vocabulary")
    splits = [apart(reductions, corpus, seed, options) for seed in options.seeds]
    return {
        "steps": steps,
        "reductions": {
            str(size): {
                "lar": [split[size][0] for split in splits],
                "bpe": [split[size][1] for split in splits],
            }
            for size in options.sizes
        },
        "lossless": steps["evaluate"]["result"]["lossless"],
    }


def mine_options(size: int, options: argparse.Namespace) -> list[object]:
    """The options of the command."""
    limits = [
        "--min-support",
        options.min_support,
        "--min-count",
        options.min_count,
        "--gates",
        options.gates,
    ]
    return ["--size", size, *limits, "--hold-out", HELD_OUT, "--split-seed", options.seeds[0]]


def apart(function: Callable[..., Any], *arguments: object) -> Any:
    """Call in a process of its own: a command's peak memory counts its parent's at the start."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def reductions(corpus: Path, seed: int, options: argparse.Namespace) -> dict[int, tuple[float, float]]:
    """Of each size on one split: what latents save on its held-out tasks, and what BPE merges do."""
    train, held_out = lar.Corpus.load(corpus).split(HELD_OUT, seed)
    limits = {
        "min_support": options.min_support,
        "min_count": options.min_count,
        "gates": options.gates,
    }
    found = {}
    for size in options.sizes:
        vocabulary = lar.mine(train, size=size, **limits)
        evaluation = lar.evaluate({"held out": held_out}, vocabulary)
        if not evaluation.lossless:
            raise SystemExit(f"{corpus}: not lossless")
        found[size] = (evaluation.total.reduction, bpe_reduction(train, held_out, size))
    return found


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
    entry.run(main)
