r"""The cost and the benefit of the engine gates: reduction and ids on held-out tasks.

    python -m benches.engines.gates --data shared/data --tokenizer shared/tokenizers/qwen3 \
        -o engine_gates.json

For each corpus and size: one row without gates, and one with all gates for each bound of the gate `served`.
The reduction, and the share of ids in which an engine's tokenizer and the core's parse differ, are of
held-out tasks. The cost of each gate is of the mined tasks, as `lar mine` prints it. The audit's speed is
that of one pass over the mined text with the latents of the last row, on all threads (RAYON_NUM_THREADS).
"""

import argparse
import tempfile
from pathlib import Path
from time import perf_counter
from typing import Any

import lar
from benches import entry
from benches.hot_paths.inputs import CORPORA, seconds
from lar.mining.one_machine import OneMachine
from lar.mining.served_saving import Audit
from lar.utils.files import write_json

HELD_OUT = 0.2


def main() -> None:
    """Print each row once it is measured, and write all figures as JSON."""
    parser = entry.parser(__doc__)
    entry.add_logs(parser, CORPORA)
    parser.add_argument(
        "--sizes", nargs="+", type=entry.positive, default=[256, 1024], help="numbers of latents"
    )
    parser.add_argument(
        "--min-kept",
        nargs="+",
        type=float,
        default=[0.5],
        help="bounds of the gate `served`, each a share of the saving",
    )
    parser.add_argument(
        "--rounds", type=entry.positive, default=5, help="number of audits; the median is reported"
    )
    parser.add_argument("-o", "--output", type=Path, required=True, help="JSON file of the figures")
    options = parser.parse_args()
    results = {}
    for name in options.corpora:
        with tempfile.TemporaryDirectory() as folder:
            results[name] = measure(options, name, Path(folder) / "corpus")
    write_json(options.output, results)


def measure(options: argparse.Namespace, name: str, folder: Path) -> list[dict[str, Any]]:
    """All rows of one corpus."""
    trajectories = lar.read_trajectories(options.data / f"{name}.jsonl.gz")
    train, held_out = lar.Corpus.build(trajectories, options.tokenizer, folder).split(HELD_OUT)
    rows = []
    for size in options.sizes:
        arms: list[dict[str, Any]] = [{"gates": "none"}]
        arms += [{"min_kept": share} for share in options.min_kept]
        for arm in arms:
            began = perf_counter()
            vocabulary = lar.mine(train, size=size, **arm)
            elapsed = perf_counter() - began
            counts = lar.evaluate({name: held_out}, vocabulary).total.to_dict()
            gates = vocabulary.mining["gates"]
            row = {"corpus": name, "size": size, "seconds": elapsed, "latents": len(vocabulary), **arm}
            rows.append({**row, "costs": gates, "held_out": counts})
            print(line(rows[-1]), flush=True)
        rows[-1]["audit"] = audit(train, vocabulary, options.rounds)
        print(f"    audit: {rows[-1]['audit']}", flush=True)
    return rows


def line(row: dict[str, Any]) -> str:
    """A row of the table, with the costs of its gates in points."""
    found, arm = row["held_out"], row.get("gates") or f"engines, {row['min_kept']:.0%}"
    reductions = [gate["reduction"] for gate in row["costs"]]
    costs = [
        f"{gate['name']} {100 * (before - gate['reduction']):.2f}"
        for before, gate in zip(reductions, row["costs"][1:], strict=False)
    ]
    return (
        f"{row['corpus']:<18}{row['size']:>5} {arm:<13}{row['latents']:>5} latents {row['seconds']:6.1f} s"
        f"  held out: reduction {found['reduction']:.1%}, other ids {found['text_level_difference']:.3%}, "
        f"the agent's {found['text_level_difference_action']:.3%}"
        f"\n    mined on: {reductions[0]:.1%} -> {reductions[-1]:.1%}"
        f"  {', '.join(costs)}; audits {row['costs'][-1].get('audits', 0)}"
    )


def audit(corpus: lar.Corpus, vocabulary: lar.LatentVocabulary, rounds: int) -> dict[str, float]:
    """Median seconds of an audit of the corpus's runs, and millions of the agent's tokens a second."""
    counts = Audit(OneMachine().fold(corpus, None), corpus.tokenizer)
    counts.count(vocabulary.segments)  # which encodes what latents cut free
    passed = seconds(lambda: counts.count(vocabulary.segments), rounds)
    return {"seconds": round(passed, 4), "tokens_a_second": round(corpus.num_action_tokens / 1e6 / passed, 2)}


if __name__ == "__main__":
    entry.run(main)
