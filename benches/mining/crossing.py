"""How often the latents behind an entropy gate cross it in the parse, and what a bound on that costs.

    python -m benches.mining.crossing --corpora tau_bench/ react_fever/ -o crossing.json

Each corpus is a folder that `lar corpus` wrote and no teacher has scored, so that the gates are by its n-gram
entropies. The split by tasks is
that of `benches.mining.reduction`. Crossings are counted on the training side, which has the entropies.
"""

from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

import lar
from benches import entry
from benches.mining.reduction import HELD_OUT
from lar.errors import CorpusError
from lar.mining.one_machine import OneMachine
from lar.utils.files import write_json
from lar.vocabulary.served_parse import ServedParse

SHARES = (1.0, 0.2, 0.05)


def main() -> None:
    """Measure each corpus, print a row as soon as it is done, write all figures as JSON."""
    parser = entry.parser(__doc__)
    parser.add_argument("--corpora", nargs="+", type=Path, required=True, help="corpus folders")
    parser.add_argument("--size", type=entry.positive, default=256, help="number of latents")
    parser.add_argument(
        "--max-entropy",
        nargs="+",
        default=["p60", "p75", "p90"],
        help="gates, quantiles or nats, as for lar mine",
    )
    parser.add_argument(
        "--max-crossing",
        nargs="+",
        type=float,
        default=SHARES,
        help="shares of a segment's occurrences that may cross the gate, 0 to 1",
    )
    parser.add_argument("--seed", type=int, default=0, help="of the split")
    parser.add_argument("-o", "--output", type=Path, required=True, help="JSON file of the figures")
    options = parser.parse_args()
    corpora = {path: unscored(path) for path in options.corpora}
    print("| corpus | gate | may cross | latents | uses that cross | generated |")
    print("|---|---|---:|---:|---:|---:|")
    rows = []
    for path, corpus in corpora.items():
        train, held_out = corpus.split(HELD_OUT, options.seed)
        for arm in [(None, 1.0), *product(options.max_entropy, options.max_crossing)]:
            rows.append({"corpus": path.name, **measure(train, held_out, options.size, *arm)})
            print(line(rows[-1]), flush=True)
    write_json(options.output, rows)


def unscored(path: Path) -> lar.Corpus:
    """The corpus of a folder.

    Raises:
        CorpusError: a teacher has scored it, so gates would be in the teacher's nats.
    """
    corpus = lar.Corpus.load(path)
    if corpus.teacher is not None:
        raise CorpusError(
            f"{path}: scored by a teacher, whose entropies its gates would be by; crossings are counted by "
            "n-gram entropies: give a corpus without scores"
        )
    return corpus


def measure(
    train: lar.Corpus, held_out: lar.Corpus, size: int, gate: str | None, most: float
) -> dict[str, Any]:
    """The figures of a vocabulary of `size` latents behind `gate`, which may cross it in the share `most`."""
    vocabulary = lar.mine(train, size, max_entropy=gate, max_crossing=most)
    return {
        "gate": gate,
        "max_crossing": most,
        "latents": vocabulary.size,
        "crossing": None if gate is None else crossing(train, vocabulary),
        "reduction": lar.evaluate(held_out, vocabulary).total.reduction,
    }


def crossing(corpus: lar.Corpus, vocabulary: lar.LatentVocabulary) -> float:
    """The share of the latents' uses in a corpus's parse that continue at a token above the n-gram gate.

    0.0 where no latent is used.
    """
    runs = OneMachine().fold(corpus, None)
    tokens, offsets, counts, *_ = runs.to_arrays()
    above = (runs.ngram_entropies() > vocabulary.mining["max_entropy_nats"]).astype(np.int64)
    parse = ServedParse(corpus.tokenizer, vocabulary.segments)
    units, starts, _ = parse.parse(tokens, np.ones(len(tokens), np.bool_), offsets)
    above[starts] = 0  # where a unit begins, nothing continues
    crosses = np.add.reduceat(above, starts) > 0
    uses = np.repeat(counts.astype(np.int64), np.diff(offsets))[starts] * (units >= vocabulary.base_size)
    return float((uses * crosses).sum() / max(uses.sum(), 1))


def line(row: dict[str, Any]) -> str:
    """A row of the table."""
    gate, most = row["gate"] or "none", "" if row["gate"] is None else f"{row['max_crossing']:.0%}"
    found = "" if row["crossing"] is None else f"{row['crossing']:.1%}"
    cells = [row["corpus"], gate, most, row["latents"], found, f"{-row['reduction']:.1%}"]
    return f"| {' | '.join(map(str, cells))} |"


if __name__ == "__main__":
    entry.run(main)
