"""Check that every token of every corpus comes back, and that units are the ids of the exported tokenizer.

    python -m benches.hot_paths.round_trip --data shared/data --tokenizer shared/tokenizers/qwen3

Each corpus is encoded with latents mined on itself, so that they occur: once as one sequence of ids, and once
as conversations. The text of each speaker is also encoded by the tokenizer that `lar export` writes, and its
ids are compared with the units. Of several tokenizers, those without a chat template use the first one's.
"""

import argparse
from itertools import pairwise
from pathlib import Path

import numpy as np
import tokenizers

import lar
from lar.corpus import Shard
from lar.serving.export.tokenizer_files import exported_backend


def main() -> None:
    """Print one row for each tokenizer and corpus; AssertionError where a token differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of trajectory files")
    parser.add_argument("--tokenizer", type=Path, nargs="+", required=True)
    parser.add_argument("--most", type=int, help="trajectories of each corpus; default: all")
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
            units = sum(check(vocabulary, backend, shard) for shard in corpus.shards())
            total += corpus.num_tokens
            counts = f"{corpus.num_tokens:>12,} tokens ->{units:>12,} units and back"
            print(f"{folder.name:<14}{path.name:<32}{counts}", flush=True)
    print(f"{total:,} tokens came back unchanged, and no unit is another than the exported tokenizer's id")


def check(vocabulary: lar.LatentVocabulary, backend: tokenizers.Tokenizer, shard: Shard) -> int:
    """Compare every token and unit of a shard, and return the number of its units."""
    np.testing.assert_array_equal(vocabulary.expand(vocabulary.encode(shard.tokens)), shard.tokens)
    form = vocabulary.reparameterize(shard.tokens, shard.action, shard.offsets)
    text = vocabulary.tokenizer.bytes_of
    assert text(vocabulary.expand(form.units)) == text(shard.tokens)
    borders = np.union1d(np.flatnonzero(np.diff(shard.action)) + 1, shard.offsets)
    spoken = [shard.tokens[start:end].tolist() for start, end in pairwise(borders.tolist())]
    texts = vocabulary.tokenizer.backend.decode_batch(spoken, skip_special_tokens=False)
    encodings = backend.encode_batch_fast(texts, add_special_tokens=False)
    engine = np.concatenate([np.array(encoding.ids, dtype=np.uint32) for encoding in encodings])
    np.testing.assert_array_equal(engine, form.units)
    return len(form.units)


if __name__ == "__main__":
    main()
