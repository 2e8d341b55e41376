"""What a weight for prompt tokens saves: generated, prompt and total units on held-out tasks.

    python -m benches.mining.prompt_weight --corpora tau_bench/ tau2/ -o prompt_weight.json

Each corpus is a folder that `lar corpus` wrote. The same split by tasks as in `benches.mining.reduction`.
"""

from itertools import product
from pathlib import Path
from typing import Any

import lar
from benches import entry
from benches.mining.reduction import HELD_OUT
from lar.utils.files import write_json

WEIGHTS = (0.0, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0)


def main() -> None:
    """Measure each corpus, print a row as soon as it is done, write all figures as JSON."""
    parser = entry.parser(__doc__)
    parser.add_argument("--corpora", nargs="+", type=Path, required=True, help="corpus folders")
    parser.add_argument(
        "--weights",
        nargs="+",
        type=float,
        default=WEIGHTS,
        help="weights of a prompt token, in generated tokens",
    )
    parser.add_argument(
        "--sizes", nargs="+", type=entry.positive, default=[256, 1024], help="numbers of latents"
    )
    parser.add_argument(
        "--max-length", type=entry.positive, default=128, help="longest segment in base tokens"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the split")
    parser.add_argument("-o", "--output", type=Path, required=True, help="JSON file of the figures")
    options = parser.parse_args()
    print("| corpus | K | W | generated | prompt | total | price | latents used |")
    print("|---|---|---|---|---|---|---|---|")
    rows = []
    for path, size in product(options.corpora, options.sizes):
        train, held_out = lar.Corpus.load(path).split(HELD_OUT, options.seed)
        for weight in options.weights:
            row = {"corpus": path.name, **measure(train, held_out, size, weight, options.max_length)}
            rows.append(row)
            print(line(row), flush=True)
    write_json(options.output, rows)


def measure(
    train: lar.Corpus, held_out: lar.Corpus, size: int, weight: float, max_length: int
) -> dict[str, Any]:
    """The figures of a vocabulary of `size` latents that was mined with `weight`."""
    vocabulary = lar.mine(train, size, prompt_weight=weight, max_length=max_length)
    result = lar.evaluate(held_out, vocabulary).to_dict()
    return {"size": size, "weight": weight, "latents": vocabulary.size, **result}


def line(row: dict[str, Any]) -> str:
    """A row of the table; `price` is the reduction with each prompt token at the row's weight."""
    weight = row["weight"]
    before = row["base_tokens"] + weight * row["prompt_base_tokens"]
    after = row["units"] + weight * row["prompt_units"]
    shares = (row["reduction"], row["prompt_reduction"], row["context_reduction"], 1 - after / before)
    cells = [row["corpus"], row["size"], weight, *(f"{-share:.1%}" for share in shares)]
    return f"| {' | '.join(map(str, cells))} | {row['latents_used']} |"


if __name__ == "__main__":
    entry.run(main)
