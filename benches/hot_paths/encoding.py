r"""Speed of the parse on real conversations, numpy to numpy, beside its peers.

    python -m benches.hot_paths.encoding --data shared/data --tokenizer shared/tokenizers/qwen3 \
        -o encoding.json

Figures are millions of base tokens a second, medians of five. encode and expand take one core. Two lower
limits are measured in the same run: "copy" copies the ids; "first touch" fills a new array of the size of the
result, for which the system must provide pages. The peer is the added-token matching of `tokenizers`, with
the same segments over the same ids written as characters; it must find as many units. "served" is the parse
that engines read (`lar.vocabulary.served_parse`), beside the exported tokenizer, on RAYON_NUM_THREADS cores.
`--instructions target/release/examples/hot_paths` adds the instructions a token, counted by callgrind, which
are the same on every machine.
"""

import subprocess
import tempfile
from argparse import Namespace
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import tokenizers
from numpy.typing import NDArray

from benches import entry
from benches.hot_paths.inputs import MinedConversations, arguments, read, seconds
from benches.mining.peers import as_text
from lar.utils.files import write_json
from lar.vocabulary.engine_tokenizer import exported_backend
from lar.vocabulary.served_parse import ServedParse

# The peer is a hundred times slower, so fewer tokens are enough for it.
PEER_TOKENS = 200_000

Figures = dict[str, float]


def main() -> None:
    """Measure each corpus, print its rows at once, and write all figures as JSON."""
    parser = arguments(__doc__)
    parser.add_argument(
        "--instructions",
        type=Path,
        help="the example hot_paths, to be run under valgrind (default: not counted)",
    )
    options = parser.parse_args()
    results: dict[str, dict[str, Figures]] = {}
    for name in options.corpora:
        conversations = read(options, name)
        stretches = {
            "agent": conversations.tokens[conversations.action],
            "whole": conversations.tokens,
        }
        results[name] = {kind: measure(conversations, ids, options) for kind, ids in stretches.items()}
        results[name]["whole"] |= served(conversations, options.rounds)
        for kind, figures in results[name].items():
            print(row(f"{name}, {kind}", figures), flush=True)
    write_json(options.output, results)


def measure(conversations: MinedConversations, ids: NDArray[np.uint32], options: Namespace) -> Figures:
    """The figures of one sequence of ids."""
    vocabulary = conversations.vocabulary
    units = vocabulary.encode(ids)
    np.testing.assert_array_equal(vocabulary.expand(units), ids)
    paths: dict[str, Callable[[], object]] = {
        "first touch": lambda: fill_new(len(ids), np.uint32),
        "copy": ids.copy,
        "encode": lambda: vocabulary.encode(ids),
        "expand": lambda: vocabulary.expand(units),
    }
    figures: Figures = {"tokens": len(ids), "units": len(units)}
    figures |= {path: len(ids) / seconds(call, options.rounds) / 1e6 for path, call in paths.items()}
    few = ids[:PEER_TOKENS]
    figures["added tokens"] = added_tokens(conversations, few, options.rounds)
    if options.instructions:
        figures |= instructions(conversations, ids, options.instructions)
    return figures


def served(conversations: MinedConversations, rounds: int) -> Figures:
    """Millions of tokens a second from base ids to the units that an engine reads, on all threads.

    "served" begins without any text encoded, "served again" with all that the first pass had to encode. The
    peer is the exported tokenizer, which reads the text of each speaker.
    """
    tokens, action, offsets = conversations.tokens, conversations.action, conversations.offsets
    vocabulary = conversations.vocabulary
    parses = [ServedParse(vocabulary.tokenizer, vocabulary.segments) for _ in range(rounds + 1)]
    fresh = iter(parses)
    borders = np.union1d(np.flatnonzero(np.diff(action)) + 1, offsets)
    spoken = [tokens[start:end].tolist() for start, end in pairwise(borders.tolist())]
    texts = vocabulary.tokenizer.backend.decode_batch(spoken, skip_special_tokens=False)
    exported = exported_backend(vocabulary)
    paths: dict[str, Callable[[], object]] = {
        "served": lambda: next(fresh).parse(tokens, action, offsets),
        "served again": lambda: parses[0].parse(tokens, action, offsets),
        "exported tokenizer": lambda: exported.encode_batch_fast(texts, add_special_tokens=False),
    }
    return {path: len(tokens) / seconds(call, rounds) / 1e6 for path, call in paths.items()}


def fill_new(length: int, *types: type[np.generic]) -> list[None]:
    """Fill a new array of each type."""
    return [np.empty(length, dtype).fill(0) for dtype in types]


def added_tokens(conversations: MinedConversations, ids: NDArray[np.uint32], rounds: int) -> float:
    """Millions of tokens a second of the peer: segments are added tokens, ids are characters."""
    vocabulary = conversations.vocabulary
    text = as_text(ids)
    alphabet = {character: index for index, character in enumerate(sorted(set(text)))}
    peer = tokenizers.Tokenizer(tokenizers.models.BPE(alphabet, []))
    peer.add_tokens(
        [tokenizers.AddedToken(as_text(segment), normalized=False) for segment in vocabulary.segments]
    )
    if len(peer.encode(text).ids) != len(vocabulary.encode(ids)):
        raise SystemExit("added-token matching and the canonical parse give different numbers of units")
    return len(ids) / seconds(lambda: peer.encode(text), rounds) / 1e6


def instructions(conversations: MinedConversations, ids: NDArray[np.uint32], program: Path) -> Figures:
    """Instructions a token of each path in the core, from the difference between three rounds and one."""
    vocabulary = conversations.vocabulary
    few = ids[:1_000_000]
    with tempfile.TemporaryDirectory() as folder:
        files = Path(folder, "ids.u32"), Path(folder, "segments.u32")
        few.astype("<u4").tofile(files[0])
        segments = [[len(segment), *segment] for segment in vocabulary.segments]
        np.concatenate(segments).astype("<u4").tofile(files[1])

        def count(path: str, rounds: int) -> int:
            command = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={folder}/out", program, path]
            command += [*files, str(vocabulary.base_size), str(rounds)]
            ran = subprocess.run(command, capture_output=True, text=True, check=True)
            line = next(line for line in ran.stderr.splitlines() if "Collected" in line)
            return int(line.split()[-1])

        paths = ["encode", "expand"]
        return {f"{path} instructions": (count(path, 3) - count(path, 1)) / 2 / len(few) for path in paths}


def row(name: str, figures: Figures) -> str:
    """One line of the table."""
    cells = [f"{what} {value:,.4g}" for what, value in figures.items()]
    return f"{name:<26}{', '.join(cells)}"


if __name__ == "__main__":
    entry.run(main)
