"""An agent that changes: its vocabulary before, updated, and mined anew, on held-out tasks of the new logs.

    python -m benches.mining.update --corpus tau2/ -o update.json

The corpus is that of tau2 (a folder that `lar corpus` wrote). The old logs are its airline tasks and half of
its retail tasks; the new logs are the other half and its telecom tasks, a fifth of them held out.
"""

from pathlib import Path
from typing import Any

import lar
from benches import entry
from benches.mining.reduction import HELD_OUT
from lar.utils.files import write_json


def main() -> None:
    """Mine, update, measure, print the table, write all figures as JSON."""
    parser = entry.parser(__doc__)
    parser.add_argument("--corpus", type=Path, required=True, help="corpus folder of tau2")
    parser.add_argument(
        "--sizes", nargs="+", type=entry.positive, default=[256, 1024], help="numbers of latents"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the splits")
    parser.add_argument("-o", "--output", type=Path, required=True, help="JSON file of the figures")
    options = parser.parse_args()
    corpus = lar.Corpus.load(options.corpus)
    retail = corpus.select(lambda task: task.startswith("tau:retail"))
    early = retail.split(0.5, options.seed)[0].tasks
    old = corpus.select(lambda task: task in early or task.startswith("tau:airline"))
    new = corpus.select(lambda task: task not in early and not task.startswith("tau:airline"))
    train, held_out = new.split(HELD_OUT, options.seed)
    print("| K | vocabulary | reduction | of the old latents, kept | drift |\n|---|---|---|---|---|")
    rows = []
    for size in options.sizes:
        before = lar.mine(old, size)
        named = {
            "the old one": before,
            "updated": lar.mine(train, update=before),
            "mined anew": lar.mine(train, size),
        }
        for name, vocabulary in named.items():
            row = {"size": size, "vocabulary": name, **measure(before, vocabulary, held_out)}
            rows.append(row)
            cells = (size, name, f"{-row['reduction']:.1%}", row["kept"], row["drift"])
            print(f"| {' | '.join(map(str, cells))} |", flush=True)
    write_json(options.output, rows)


def measure(
    before: lar.LatentVocabulary, vocabulary: lar.LatentVocabulary, held_out: lar.Corpus
) -> dict[str, Any]:
    """The reduction on the held-out tasks, the segments of `before` in it, and the latents named as drift."""
    result = lar.evaluate(held_out, vocabulary)
    kept = {latent.tokens for latent in before} & {latent.tokens for latent in vocabulary}
    return {"reduction": result.total.reduction, "kept": len(kept), "drift": len(result.drift)}


if __name__ == "__main__":
    entry.run(main)
