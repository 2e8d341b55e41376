"""Mining at scale: seconds and memory from 10 M action tokens on, and their growth.

    python -m benches.mining.scale --data shared/data --tokenizer shared/tokenizers/qwen3 --cache cache

The corpora are resampled from real ones (resampler.py); reductions are of held-out synthetic tasks. Each
measurement is a process of its own (measuring.py); figures are medians over the repetitions. The control sees
the smallest corpus ten times: ten times the tokens, no run more. A suffix array is measured where
`pydivsufsort` is installed.
"""

from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

import lar
from benches import entry
from benches.mining.measuring import Bench, Measured, Peer
from benches.resampling.resampler import Resampler, ResamplingOptions, add_source, load_source
from lar.utils.files import write_json

SIZES = [10_000_000, 30_000_000, 100_000_000, 300_000_000]
STEPS = ("fold", "candidates", "characters", "select")
CONTROL_TIMES = 10
FITTED_FROM = 30_000_000  # smaller corpora are in the caches
EXTRAPOLATED = 1_000_000_000


def main() -> None:
    """Measure, print each row as soon as it is done, write all figures as JSON."""
    parser = entry.parser(__doc__)
    add_source(parser)
    parser.add_argument(
        "--tokens", nargs="+", type=entry.positive, default=SIZES, help="action tokens of the corpora"
    )
    parser.add_argument("--size", type=entry.positive, default=1024, help="number of latents")
    parser.add_argument(
        "--repeats", type=entry.positive, default=5, help="number of measurements; the median is reported"
    )
    parser.add_argument(
        "--peer-tokens",
        type=entry.at_least_zero,
        default=10_000_000,
        help="action tokens of the corpus for the peers; 0 leaves them out",
    )
    parser.add_argument("--no-control", action="store_true", help="leave out the same tokens ten times")
    parser.add_argument(
        "--memory",
        type=entry.positive,
        help="bytes of a folder of runs, within which the largest corpus is mined too (default: not)",
    )
    parser.add_argument("-o", "--output", type=Path, help="JSON file of the figures (default: printed alone)")
    options = parser.parse_args()
    resampler = Resampler(*load_source(options), ResamplingOptions(seed=options.seed))
    bench = Bench(resampler, lar.Tokenizer.load(options.tokenizer), options.size, options.repeats)
    found = measure(bench, sorted(options.tokens), control=not options.no_control, memory=options.memory)
    found["peers"] = measure_peers(bench, options.peer_tokens) if options.peer_tokens else {}
    if options.output:
        write_json(options.output, found)


def measure(bench: Bench, sizes: list[int], *, control: bool, memory: int | None) -> dict[str, Any]:
    """Mine corpora of all sizes, the largest within `memory` too, and the control; extrapolate."""
    print(_head())
    measured = []
    for tokens in sizes:
        measured.append(bench.lar(tokens))
        print(_row(f"{tokens / 1e6:g} M", measured[-1], measured[0]), flush=True)
    bounded = bench.lar(sizes[-1], memory=memory) if memory else []
    if bounded:
        print(_row(f"{sizes[-1] / 1e6:g} M, spilt", bounded, measured[0]), flush=True)
    repeated = bench.lar(sizes[0], CONTROL_TIMES) if control else []
    if repeated:
        print(_row(f"{sizes[0] / 1e6:g} M x {CONTROL_TIMES}", repeated, measured[0]), flush=True)
    fit = extrapolate([(found[0].tokens, _seconds(found)) for found in measured])
    if fit:
        print(_fit_line(fit))
    return {
        "mining": [[asdict(one) for one in found] for found in measured],
        "bounded": [asdict(one) for one in bounded],
        "control": [asdict(one) for one in repeated],
        "fit": fit,
    }


def extrapolate(points: list[tuple[int, float]]) -> dict[str, Any] | None:
    """A line through (tokens, seconds) of the larger corpora, its residuals, and its value at 1 G tokens.

    None where there are not two of them.
    """
    large = [point for point in points if point[0] >= FITTED_FROM * 0.99]
    if len(large) < 2:
        return None
    tokens, seconds = np.array(large).T
    slope, start = np.polyfit(tokens, seconds, 1)
    return {
        "seconds_a_token": float(slope),
        "start": float(start),
        "residuals": (seconds / (start + slope * tokens) - 1).tolist(),
        "extrapolated": float(start + slope * EXTRAPOLATED),
    }


def measure_peers(bench: Bench, tokens: int) -> dict[str, Any]:
    """The peers on the runs of one corpus, in the same run."""
    found = {"BPE merges over ids": bench.bpe(tokens)}
    if find_spec("pydivsufsort"):
        found["suffix array of the distinct runs"] = bench.suffix_array(tokens)
    for name, peer in found.items():
        print(_peer_line(name, peer), flush=True)
    return {name: [asdict(one) for one in peer] for name, peer in found.items()}


def _seconds(found: list[Measured]) -> float:
    return median(one.total for one in found)


def _head() -> str:
    steps = "".join(f"{step + ' s':>13}" for step in STEPS)
    growth = f"{'M tokens/s':>12}{'a token':>10}{'a run token':>13}"
    return (
        f"{'tokens':<12}{'runs':>12}{'run tokens':>13}{'candidates':>13}{steps}{'in all s':>10}"
        f"{growth}{'bytes a token':>15}{'peak MiB':>10}{'reduction':>11}"
    )


def _row(name: str, found: list[Measured], smallest: list[Measured]) -> str:
    """One line of the table; growth is of seconds a token, and a distinct run's token, over the smallest."""
    first, base, total, base_total = found[0], smallest[0], _seconds(found), _seconds(smallest)
    steps = "".join(f"{median(one.seconds[step] for one in found):>13.2f}" for step in STEPS)
    a_token = total / first.tokens / (base_total / base.tokens)
    a_run_token = total / first.run_tokens / (base_total / base.run_tokens)
    return (
        f"{name:<12}{first.runs:>12,}{first.run_tokens:>13,}{first.candidates:>13,}{steps}{total:>10.2f}"
        f"{first.tokens / total / 1e6:>12.2f}{a_token:>10.2f}{a_run_token:>13.2f}"
        f"{median(one.bytes_a_token for one in found):>15.1f}"
        f"{median(one.memory for one in found) / 2**20:>10.0f}{-first.reduction:>11.2%}"
    )


def _fit_line(fit: dict[str, Any]) -> str:
    residuals = ", ".join(f"{residual:+.1%}" for residual in fit["residuals"])
    return (
        f"a line from {FITTED_FROM / 1e6:g} M on gives {fit['extrapolated']:.1f} s"
        f" for {EXTRAPOLATED / 1e9:g} G tokens (measured over fitted: {residuals})"
    )


def _peer_line(name: str, found: list[Peer]) -> str:
    seconds, tokens = median(one.seconds for one in found), found[0].tokens
    saved = "" if found[0].reduction is None else f", {-found[0].reduction:.2%}"
    memory = median(one.memory - one.memory_before for one in found) / tokens
    speed = f"{tokens / seconds / 1e6:.2f} M tokens/s, {memory:.1f} bytes a token"
    return f"{name}: {tokens:,} tokens in {seconds:.1f} s, {speed}{saved}"


if __name__ == "__main__":
    entry.run(main)
