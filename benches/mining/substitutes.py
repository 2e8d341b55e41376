r"""Entropies from a corpus's own n-grams beside a teacher's: what can replace a teacher in an entropy gate.

    OMP_NUM_THREADS=1 python -m benches.mining.substitutes --data ../shared/data --model smollm2/ \
        --corpora fireact intercode_sql tau_bench -o results/

For each corpus:
1. A sample, scored by the teacher: the beginnings of the conversations at some tasks, one a task, in an order
   by a hash of the tasks' names.
2. The substitutes, from all runs of the corpus. The sample's tasks are among them, as in `lar mine`.
3. At each of the agent's tokens in the sample, but for the first of a run: Spearman's rank correlation with
   the teacher's entropies, and the share of tokens that are on the same side of the gate, each gate at its
   own quantile.

Differences from the branching entropy have the standard error of a bootstrap over the sample's tasks. Corpora
and scores are stored in the output folder, and used again if they are there.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import lar
from benches import entry
from benches.mining.ngram_models import Floats, LeftOut, Sample, Text, branching, witten_bell
from lar.trajectories.schema import Message, Trajectory

GATES = (0.6, 0.75)
RESAMPLED = 100  # times, for the standard errors
BASELINE = "branching"


def main() -> None:
    """Score what is not scored yet, and print a table for each corpus."""
    parser = entry.parser(__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of trajectory files")
    parser.add_argument("--model", type=Path, required=True, help="the teacher, a checkpoint folder")
    parser.add_argument("--corpora", nargs="+", required=True, help="file names without .jsonl.gz")
    parser.add_argument(
        "--characters", type=entry.positive, default=50_400, help="characters of a sample, at least"
    )
    parser.add_argument(
        "--beginning", type=entry.positive, default=12_000, help="characters of a conversation, at least"
    )
    parser.add_argument(
        "--tasks", type=entry.positive, help="tasks of a corpus, beside the sample's (default: all)"
    )
    parser.add_argument(
        "--left-out", action="store_true", help="also without the token's own occurrence or task"
    )
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder of the corpora and scores")
    options = parser.parse_args()
    for name in options.corpora:
        logs = list(lar.read_trajectories(options.data / f"{name}.jsonl.gz"))
        folder = options.output / name
        chosen = list(sample(logs, options.characters, options.beginning))
        scored = lar.score(
            lar.Corpus.build(chosen, options.model, folder / "sample"),
            options.model,
            max_length=1024,
            dtype="float32",
        )
        corpus = lar.Corpus.build(logs, options.model, folder / "all")
        whole = Text.of(corpus, scored.tasks, options.tasks)
        for line in table(name, whole, Sample.of(scored, whole), left_out=options.left_out):
            print(line, flush=True)


def sample(logs: list[Trajectory], characters: int, beginning: int) -> Iterator[Trajectory]:
    """The beginnings of the first conversations at some tasks: at least so many characters in all."""
    firsts: dict[str, Trajectory] = {}
    for trajectory in logs:
        firsts.setdefault(trajectory.task, trajectory)
    total = 0
    for task in sorted(firsts, key=lambda task: hashlib.sha256(task.encode()).digest()):
        if total > characters:
            return
        begun = begun_at(firsts[task], beginning)
        total += sum(map(length_of, begun.messages))
        yield begun


def begun_at(trajectory: Trajectory, characters: int) -> Trajectory:
    """A trajectory up to the first message of the agent with which it exceeds so many characters."""
    lengths = np.cumsum([length_of(message) for message in trajectory.messages])
    turns = [at for at, message in enumerate(trajectory.messages) if message["role"] == "assistant"]
    last = next((at for at in turns if lengths[at] > characters), turns[-1] if turns else -1)
    return replace(trajectory, messages=trajectory.messages[: last + 1])


def length_of(message: Message) -> int:
    """Characters of a message, calls to tools included."""
    return len(message.get("content") or "") + sum(len(str(call)) for call in message.get("tool_calls") or [])


def table(name: str, text: Text, sample: Sample, *, left_out: bool) -> Iterator[str]:
    """One line for each substitute: its figures, and what they are more than the branching entropy's."""
    rows = substitutes(text, sample, left_out=left_out)
    tasks = [np.flatnonzero(sample.tasks == task) for task in np.unique(sample.tasks)]
    draw = np.random.default_rng(0)
    resampled = [
        np.concatenate([tasks[at] for at in draw.integers(0, len(tasks), len(tasks))])
        for _ in range(RESAMPLED)
    ]
    yield f"{name}: {len(sample.positions):,} tokens of {len(tasks)} tasks, in {len(text.symbols):,}"
    yield "| substitute | rank correlation | same side of p60 | of p75 |\n|---|---|---|---|"
    baseline, of_baseline = [], np.zeros(1 + len(GATES))
    for label, found in rows:
        drawn = np.array([agreement(found[at], sample.entropies[at]) for at in resampled])
        figures = agreement(found, sample.entropies)
        if label == BASELINE:
            baseline, of_baseline = drawn, figures
        errors = (drawn - baseline).std(axis=0)
        cells = [
            f"{figure:.3f} ({figure - other:+.3f} ± {error:.3f})"
            for figure, other, error in zip(figures, of_baseline, errors, strict=True)
        ]
        yield f"| {label} | {' | '.join(cells)} |"


def substitutes(text: Text, sample: Sample, *, left_out: bool) -> Iterator[tuple[str, Floats]]:
    """The name of each substitute and its entropies at the sample, the baseline first."""
    yield BASELINE, branching(text)[sample.positions]
    for weight, fewest, orders in ((1.0, 1, (2, 3, 4, 5, 8)), (2.0, 1, (3, 4, 5)), (1.0, 2, (3, 4, 5, 8))):
        for order, found in enumerate(witten_bell(text, weight, fewest)):
            if order in orders:
                yield f"{order} tokens, A = {weight:g}, n >= {fewest}", found[sample.positions]
    if left_out:
        model = LeftOut(text, sample)
        for what in ("occurrence", "task"):
            for order, found in enumerate(model.entropies(what)):
                if order in (3, 5, 8):
                    yield f"{order} tokens, A = 1, without its own {what}", found


def agreement(found: Floats, entropies: Floats) -> Floats:
    """Spearman's rank correlation, and for each gate the share of values on the same side."""
    correlation = np.corrcoef(ranks(found), ranks(entropies))[0, 1]
    same = [np.mean(within(found, share) == within(entropies, share)) for share in GATES]
    return np.array([correlation, *same])


def ranks(values: Floats) -> Floats:
    """The rank of each value, the mean one where values are equal."""
    _, of, counts = np.unique(values, return_inverse=True, return_counts=True)
    means = np.cumsum(counts) - (counts - 1) / 2
    return np.asarray(means[of])


def within(values: Floats, share: float) -> NDArray[np.bool_]:
    """Whether each value is at or under the smallest one that at least this share of them is."""
    last = int(np.ceil(share * len(values))) - 1
    return np.asarray(values <= np.partition(values, last)[last])


if __name__ == "__main__":
    entry.run(main)
