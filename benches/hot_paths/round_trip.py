"""Check that every token of every corpus comes back: expand(encode(x)) == x.

    python -m benches.hot_paths.round_trip --data shared/data --tokenizer shared/tokenizers/qwen3

Each corpus is encoded with latents mined on itself, so that they occur: once as one sequence of ids, and once
as conversations.
"""

import argparse
from pathlib import Path

import numpy as np

import lar
from lar.corpus import Shard


def main() -> None:
    """Print one row a corpus; AssertionError where a token differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of trajectory files")
    parser.add_argument("--tokenizer", type=Path, required=True)
    options = parser.parse_args()
    tokenizer = lar.Tokenizer.load(options.tokenizer)
    total = 0
    for path in sorted(options.data.glob("*.jsonl.gz")):
        corpus = lar.Corpus.build(lar.read_trajectories(path), tokenizer)
        vocabulary = lar.mine(corpus, size=1024)
        units = sum(check(vocabulary, shard) for shard in corpus.shards())
        total += corpus.num_tokens
        print(f"{path.name:<32}{corpus.num_tokens:>12,} tokens ->{units:>12,} units and back", flush=True)
    print(f"{total:,} tokens came back unchanged")


def check(vocabulary: lar.LatentVocabulary, shard: Shard) -> int:
    """Compare every token of a shard, and return the number of its units."""
    np.testing.assert_array_equal(vocabulary.expand(vocabulary.encode(shard.tokens)), shard.tokens)
    form = vocabulary.reparameterize(shard.tokens, shard.action, shard.offsets)
    np.testing.assert_array_equal(vocabulary.expand(form.units), shard.tokens)
    return len(form.units)


if __name__ == "__main__":
    main()
