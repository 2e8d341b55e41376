r"""Speed of encode, expand and align on real conversations, numpy to numpy, on one core, beside a peer.

    python -m benches.hot_paths.encoding --data shared/data --tokenizer shared/tokenizers/qwen3 \
        -o encoding.json

Figures are millions of base tokens a second, medians of five. Two lower limits are measured in the same run:
"copy" copies the ids; "first touch" fills new arrays of the size of the result, for which the system must
provide pages ("align first touch": the three arrays of the dual format). The peer is the added-token matching
of `tokenizers`, with the same segments over the same ids written as characters; it must find as many units.
`--instructions target/release/examples/hot_paths` adds the instructions a token, counted by callgrind, which
are the same on every machine.
"""

import json
import subprocess
import tempfile
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tokenizers
from numpy.typing import NDArray

from benches.hot_paths.inputs import MinedConversations, arguments, read, seconds
from benches.mining.peers import as_text

# The peer is a hundred times slower, so fewer tokens are enough for it.
PEER_TOKENS = 200_000

Figures = dict[str, float]


def main() -> None:
    """Measure each corpus, print its rows at once, and write all figures as JSON."""
    parser = arguments(__doc__)
    parser.add_argument("--instructions", type=Path, help="the example hot_paths, to be run under valgrind")
    options = parser.parse_args()
    results: dict[str, dict[str, Figures]] = {}
    for name in options.corpora:
        conversations = read(options, name)
        stretches = {
            "agent": conversations.tokens[conversations.action],
            "whole": conversations.tokens,
        }
        results[name] = {kind: measure(conversations, ids, options) for kind, ids in stretches.items()}
        results[name]["whole"] |= align(conversations, options.rounds)
        for kind, figures in results[name].items():
            print(row(f"{name}, {kind}", figures), flush=True)
    options.output.write_text(json.dumps(results, indent=2) + "\n")


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


def align(conversations: MinedConversations, rounds: int) -> Figures:
    """Millions of tokens a second of alignment: whole conversations with their action masks."""
    tokens, action, offsets = conversations.tokens, conversations.action, conversations.offsets
    reparameterize = conversations.vocabulary.reparameterize
    units = len(reparameterize(tokens, action, offsets).units)
    paths: dict[str, Callable[[], object]] = {
        "align": lambda: reparameterize(tokens, action, offsets),
        "align first touch": lambda: fill_new(units, np.uint32, np.bool_, np.int64),
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

        paths = ["encode", "expand", "align"]
        return {f"{path} instructions": (count(path, 3) - count(path, 1)) / 2 / len(few) for path in paths}


def row(name: str, figures: Figures) -> str:
    """One line of the table."""
    cells = [f"{what} {value:,.4g}" for what, value in figures.items()]
    return f"{name:<26}{', '.join(cells)}"


if __name__ == "__main__":
    main()
