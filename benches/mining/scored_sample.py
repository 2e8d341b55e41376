"""What an entropy gate loses where the teacher has scored only a sample of the tasks.

    python -m benches.mining.scored_sample --corpora tau_bench/ react_fever/ -o scored_sample.json

Each corpus is a folder that `lar corpus` wrote. The entropies are no teacher's, but those of the corpus's own
n-grams, so that no model is needed: what a sample loses is a matter of how often segments occur in it. For
each sample, latents are mined on the training side of the split of `benches.mining.reduction`, as `lar mine`
does: segments are found and judged in the sample, and counted in all tasks. Beside it, the sample alone is
mined. Both are measured on the held-out side.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import lar
from benches import entry
from benches.mining.ngram_models import stretches
from benches.mining.reduction import HELD_OUT
from lar.corpus.task_sample import sample_share
from lar.mining.one_machine import OneMachine
from lar.utils.files import write_json
from testing.scores import score_with


def main() -> None:
    """Measure each corpus, print a row as soon as it is done, write all figures as JSON."""
    parser = entry.parser(__doc__)
    parser.add_argument("--corpora", nargs="+", type=Path, required=True, help="corpus folders")
    parser.add_argument("--size", type=entry.positive, default=1024, help="number of latents")
    parser.add_argument("--max-entropy", default="p90", help="the gate, as for lar mine")
    parser.add_argument(
        "--most-tokens",
        nargs="+",
        type=entry.positive,
        default=[250_000, 500_000, 1_000_000, 2_000_000],
        help="tokens of the samples, prompts included",
    )
    parser.add_argument("--seed", type=int, default=0, help="of the split")
    parser.add_argument("-o", "--output", type=Path, required=True, help="JSON file of the figures")
    options = parser.parse_args()
    print("| corpus | scored tokens | of all | latents | generated | the sample alone |")
    print("|---|---:|---:|---:|---:|---:|")
    found = []
    for path in options.corpora:
        for row in rows(path, options.size, options.max_entropy, options.most_tokens, options.seed):
            found.append(row)
            print(line(row), flush=True)
    write_json(options.output, found)


def rows(path: Path, size: int, gate: str, samples: list[int], seed: int) -> Iterator[dict[str, Any]]:
    """The figures without a gate, with the gate and all tasks scored, and with each sample."""
    stored = lar.Corpus.load(path)
    corpus = lar.Corpus.from_arrow(stored.to_arrow(), stored.tokenizer)  # a copy, to have scores
    train, held_out = corpus.split(HELD_OUT, seed)

    def reduction(of: lar.Corpus, gate: str | None) -> tuple[int, float]:
        vocabulary = lar.mine(of, size, max_entropy=gate)
        return vocabulary.size, lar.evaluate(held_out, vocabulary).total.reduction

    def row(scored: int | None, alone: float | None, gate: str | None) -> dict[str, Any]:
        latents, of_all = reduction(train, gate)
        return {
            "corpus": path.name,
            "scored": scored,
            "share": None if scored is None else scored / corpus.num_tokens,
            "latents": latents,
            "reduction": of_all,
            "alone": alone,
        }

    yield row(None, None, None)
    entropies = ngram_entropies(corpus)
    for most in [*(one for one in sorted(samples) if one < corpus.num_tokens), corpus.num_tokens]:
        score_with(corpus, lambda shard: entropies[shard.path], share=sample_share(corpus, most))
        alone = None if most == corpus.num_tokens else reduction(train.scored, gate)[1]
        yield row(corpus.scored.num_tokens, alone, gate)


def ngram_entropies(corpus: lar.Corpus) -> dict[Path, NDArray[np.float32]]:
    """For each shard's file the n-gram entropies before its tokens, float32 (n); NaN where there are none."""
    runs = OneMachine().fold(corpus, None)
    tokens, offsets, *_ = runs.to_arrays()
    entropies = runs.ngram_entropies()
    bounds = zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True)
    of_run = {tokens[start:end].tobytes(): entropies[start:end] for start, end in bounds}
    barrier = np.zeros(corpus.tokenizer.base_size, dtype=np.bool_)
    barrier[corpus.tokenizer.barriers] = True
    found = {}
    for shard in corpus.shards():
        inside = shard.action & ~barrier[shard.tokens]
        entropy = np.full(len(shard.tokens), np.nan, dtype=np.float32)
        for _, first, last in stretches(inside, shard.offsets):
            entropy[first:last] = of_run[shard.tokens[first:last].tobytes()]
        found[shard.path] = entropy
    return found


def line(row: dict[str, Any]) -> str:
    """A row of the table."""
    scored, share = (
        ("no gate", "") if row["scored"] is None else (f"{row['scored']:,}", f"{row['share']:.0%}")
    )
    alone = "" if row["alone"] is None else f"{-row['alone']:.1%}"
    cells = [row["corpus"], scored, share, row["latents"], f"{-row['reduction']:.1%}", alone]
    return f"| {' | '.join(map(str, cells))} |"


if __name__ == "__main__":
    entry.run(main)
