r"""Logs -> corpus: the processor's seconds where texts are encoded once, and where each is encoded again.

    python -m benches.hot_paths.building --data shared/data --tokenizer shared/tokenizers/qwen3 \
        -o building.json

Both build the same corpora, in turns and on all cores; the stored tokens are compared. Reading the logs is
not counted.
"""

import tempfile
import time
from pathlib import Path
from statistics import median
from unittest.mock import patch

import lar
from benches import entry
from benches.mining.reduction import CORPORA
from lar.corpus import known_texts
from lar.utils.files import write_json


def main() -> None:
    """Measure each corpus, print a row as it is done, write all figures as JSON."""
    parser = entry.parser(__doc__)
    entry.add_logs(parser, CORPORA)
    parser.add_argument(
        "--repeats", type=entry.positive, default=3, help="number of measurements; the median is reported"
    )
    parser.add_argument("-o", "--output", type=Path, required=True, help="JSON file of the figures")
    options = parser.parse_args()
    tokenizer = lar.Tokenizer.load(options.tokenizer)
    print(
        "| corpus | tokens | each text, CPU s | once, CPU s | ratio | M tokens a CPU second |\n"
        + "|---" * 6
        + "|"
    )
    found = {}
    for name in options.corpora:
        logs = list(lar.read_trajectories(options.data / f"{name}.jsonl.gz"))
        found[name] = measured(logs, tokenizer, options.repeats)
        print(row(name, found[name]), flush=True)
    write_json(options.output, found)


def measured(logs: list[lar.Trajectory], tokenizer: lar.Tokenizer, repeats: int) -> dict[str, float]:
    """Medians of the seconds of both ways, and the tokens."""
    each, once = [], []
    for _ in range(repeats):
        with patch.object(known_texts, "partings", lambda _: None):
            of_each = built(logs, tokenizer, each)
        if built(logs, tokenizer, once) != of_each:
            raise SystemExit("the corpora differ")
    return {"tokens": of_each[0], "each": median(each), "once": median(once)}


def built(
    logs: list[lar.Trajectory], tokenizer: lar.Tokenizer, seconds: list[float]
) -> tuple[int, list[bytes]]:
    """The number of tokens of the corpus, and those of each shard; adds the processor's seconds."""
    with tempfile.TemporaryDirectory() as folder:
        began = time.process_time()
        corpus = lar.Corpus.build(logs, tokenizer, Path(folder) / "corpus")
        seconds.append(time.process_time() - began)
        return corpus.num_tokens, [shard.tokens.tobytes() for shard in corpus.shards()]


def row(name: str, found: dict[str, float]) -> str:
    """A row of the table."""
    tokens, each, once = found["tokens"], found["each"], found["once"]
    return (
        f"| {name} | {tokens:,} | {each:.2f} | {once:.2f} | {once / each:.2f} | {tokens / once / 1e6:.2f} |"
    )


if __name__ == "__main__":
    entry.run(main)
