"""N-gram entropies at scale: seconds and memory from 10 M action tokens on.

    python -m benches.mining.ngram_scale --data shared/data --tokenizer shared/tokenizers/qwen3 --cache cache

The corpora are resampled from real ones (resampler.py). The distinct runs of each are folded once into files.
Each measurement is a process of its own, which loads them; figures are medians over the repetitions. Memory
is what the process's peak grew by, the entropies themselves included (4 bytes a token of the distinct runs).
"""

import os
import resource
import tempfile
import time
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median

import numpy as np

import lar
from benches import entry
from benches.mining.pipeline import TokenTable, fold, forget_peak, peak_memory
from benches.resampling.resampler import Resampler, ResamplingOptions, add_source, load_source
from lar import _core
from lar.utils.files import write_json

SIZES = [10_000_000, 30_000_000, 100_000_000]
ARRAYS = ("tokens", "offsets", "counts", "tasks", "task_offsets")


@dataclass(frozen=True)
class Measured:
    """One measurement: wall and CPU seconds, and peak bytes before and after."""

    run_tokens: int
    seconds: float
    cpu_seconds: float
    memory_before: int
    memory: int

    @property
    def bytes_a_token(self) -> float:
        """Bytes that were added to the peak, for each token of the distinct runs."""
        return (self.memory - self.memory_before) / self.run_tokens


def main() -> None:
    """Measure, print each row as soon as it is done, write all figures as JSON."""
    parser = entry.parser(__doc__)
    add_source(parser)
    parser.add_argument(
        "--tokens", nargs="+", type=entry.positive, default=SIZES, help="action tokens of the corpora"
    )
    parser.add_argument(
        "--repeats", type=entry.positive, default=3, help="number of measurements; the median is reported"
    )
    parser.add_argument(
        "--threads", type=entry.positive, help="threads of the core (default: one for each core)"
    )
    parser.add_argument("-o", "--output", type=Path, help="JSON file of the figures (default: printed alone)")
    options = parser.parse_args()
    if options.threads:
        os.environ["RAYON_NUM_THREADS"] = str(options.threads)
    resampler = Resampler(*load_source(options), ResamplingOptions(seed=options.seed))
    table = TokenTable.of(lar.Tokenizer.load(options.tokenizer))
    print(f"{'tokens':<10}{'run tokens':>13}{'s':>9}{'CPU s':>9}{'bytes a run token':>19}")
    found = {}
    for tokens in sorted(options.tokens):
        with tempfile.TemporaryDirectory() as folder:
            write_runs(fold(resampler.shards(tokens), table), Path(folder))
            found[tokens] = [measured(Path(folder)) for _ in range(options.repeats)]
        print(_row(f"{tokens / 1e6:g} M", found[tokens]), flush=True)
    if options.output:
        rows = {tokens: [asdict(one) for one in measurements] for tokens, measurements in found.items()}
        write_json(options.output, rows)


def write_runs(runs: _core.Runs, folder: Path) -> None:
    """Write each array of the runs as a .npy file."""
    for name, array in zip(ARRAYS, runs.to_arrays(), strict=True):
        np.save(folder / f"{name}.npy", array)


def measured(folder: Path) -> Measured:
    """A measurement in a process of its own."""
    context = get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_measure, args=(theirs, folder), daemon=True)
    process.start()
    theirs.close()
    try:
        found: Measured = ours.recv()
    except EOFError:
        raise SystemExit("a measurement was killed") from None
    process.join()
    return found


def _measure(pipe: Connection, folder: Path) -> None:
    runs = _core.Runs.from_arrays(*(np.load(folder / f"{name}.npy", mmap_mode="r") for name in ARRAYS))
    before, began, used = forget_peak(), time.perf_counter(), _cpu_seconds()
    runs.ngram_entropies()
    seconds, cpu_seconds = time.perf_counter() - began, _cpu_seconds() - used
    pipe.send(Measured(runs.distinct_tokens, seconds, cpu_seconds, before, peak_memory()))


def _cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def _row(name: str, found: list[Measured]) -> str:
    return (
        f"{name:<10}{found[0].run_tokens:>13,}{median(one.seconds for one in found):>9.2f}"
        f"{median(one.cpu_seconds for one in found):>9.2f}{median(one.bytes_a_token for one in found):>19.1f}"
    )


if __name__ == "__main__":
    entry.run(main)
