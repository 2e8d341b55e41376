"""Check that every token of every corpus comes back, and that units are the ids of the exported tokenizer.

    python -m benches.hot_paths.round_trip --data shared/data --tokenizer shared/tokenizers/qwen3

Each corpus is encoded with latents mined on itself, so that they occur: once as one sequence of ids, and once
as conversations. The text of each speaker is also encoded by the tokenizer that `lar export` writes, and its
ids are compared with the units. Of several tokenizers, those without a chat template use the first one's.
"""

from itertools import pairwise
from pathlib import Path

import numpy as np
import tokenizers

import lar
from benches import entry
from lar.corpus import Shard
from lar.vocabulary.engine_tokenizer import exported_backend


def main() -> None:
    """Print one row for each tokenizer and corpus; AssertionError where a token differs."""
    parser = entry.parser(__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of trajectory files")
    parser.add_argument("--tokenizer", type=Path, nargs="+", required=True, help="tokenizer folders")
    parser.add_argument(
        "--most", type=entry.positive, help="trajectories of each corpus, at most (default: all)"
    )
    options = parser.parse_args()
    template = lar.Tokenizer.load(options.tokenizer[0]).chat_template
    total = 0
    for folder in options.tokenizer:
        tokenizer = lar.Tokenizer.load(folder)
        tokenizer.chat_template = tokenizer.chat_template or template
        for path in sorted(options.data.glob("*.jsonl.gz")):
            corpus = lar.Corpus.build(list(lar.read_trajectories(path))[: options.most], tokenizer)
            vocabulary = lar.mine(corpus, size=1024)
            backend = exported_backend(vocabulary)
            counts = [check(vocabulary, backend, shard) for shard in corpus.shards()]
            units, lossy = (sum(column) for column in zip(*counts, strict=True))
            total += corpus.num_tokens
            found = f"{corpus.num_tokens:>12,} tokens ->{units:>12,} units and back"
            note = f", {lossy} texts that the base tokenizer does not hold" if lossy else ""
            print(f"{folder.name:<14}{path.name:<32}{found}{note}", flush=True)
    print(f"{total:,} tokens came back unchanged, and no unit is another than the exported tokenizer's id")


def check(vocabulary: lar.LatentVocabulary, backend: tokenizers.Tokenizer, shard: Shard) -> tuple[int, int]:
    """Compare every token and unit of a shard; return its units, and the texts that lost a character."""
    np.testing.assert_array_equal(vocabulary.expand(vocabulary.encode(shard.tokens)), shard.tokens)
    form = vocabulary.reparameterize(shard.tokens, shard.action, shard.offsets)
    text = vocabulary.tokenizer.bytes_of
    assert text(vocabulary.expand(form.units)) == text(shard.tokens)
    borders = np.union1d(np.flatnonzero(np.diff(shard.action)) + 1, shard.offsets)
    spoken = [shard.tokens[start:end].tolist() for start, end in pairwise(borders.tolist())]
    texts = vocabulary.tokenizer.backend.decode_batch(spoken, skip_special_tokens=False)
    encodings = backend.encode_batch_fast(texts, add_special_tokens=False)
    units = np.split(form.units, np.searchsorted(form.starts[:-1], borders[1:-1]))
    lossy = 0
    for encoding, own, base, text in zip(encodings, units, spoken, texts, strict=True):
        if encoding.ids != own.tolist():
            # A tokenizer without a token for some byte has lost it before: its ids are not those of the text.
            assert vocabulary.tokenizer.encode(text).tolist() != base
            lossy += 1
    return len(form.units), lossy


if __name__ == "__main__":
    entry.run(main)
