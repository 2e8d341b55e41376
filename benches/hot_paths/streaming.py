r"""Microseconds a call of streaming expansion from Python, beside `tokenizers`' DecodeStream.

    python -m benches.hot_paths.streaming --data shared/data --tokenizer shared/tokenizers/qwen3 \
        -o streaming.json

Figures include the loop and are medians of five. The lower limit is `flush` of an ended stream: a call of the
compiled module that only returns a shared string. A unit stands for more text than a base token, and
DecodeStream takes base tokens only, so `push` is also given per base token.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers.decoders import DecodeStream

import lar
from benches import entry
from benches.hot_paths.inputs import MinedConversations, arguments, read, seconds
from lar.utils.files import write_json

UNITS, REQUESTS = 100_000, 256
# Their first characters are frequent, but neither occurs.
STOPS = ["\n### Human:", "<|stop|>"]


def main() -> None:
    """Measure each corpus, print its figures, and write all of them as JSON."""
    options = arguments(__doc__).parse_args()
    results = {}
    for name in options.corpora:
        results[name] = measure(read(options, name), options.rounds)
        print(name)
        for what, microseconds in results[name].items():
            print(f"  {what:<40}{microseconds:8.4f}", flush=True)
    write_json(options.output, results)


def measure(conversations: MinedConversations, rounds: int) -> dict[str, float]:
    """Microseconds a call of each way to stream the agent's text."""
    vocabulary = conversations.vocabulary
    units = vocabulary.encode(conversations.tokens[conversations.action])[:UNITS]
    listed, ids = units.tolist(), vocabulary.expand(units)[:UNITS].tolist()
    base_tokens = len(vocabulary.expand(units))
    rows = list(units[: len(units) // REQUESTS * REQUESTS].reshape(-1, REQUESTS))

    def streamed(**options: Any) -> Callable[[], object]:
        return lambda: each(vocabulary.stream(**options).push, listed)

    calls = {
        "the loop alone": (lambda: each(None, listed), len(listed)),
        "a bare call": (lambda: bare(vocabulary, len(listed)), len(listed)),
        "push": (streamed(), len(listed)),
        "push, a base token": (streamed(), base_tokens),
        "push with stop strings": (streamed(stop=STOPS), len(listed)),
        f"batch of {REQUESTS}, a unit": (lambda: batch(vocabulary, rows), len(rows) * REQUESTS),
        "DecodeStream.step, a base token": (lambda: decode(vocabulary, ids), len(ids)),
    }
    return {what: seconds(call, rounds) / count * 1e6 for what, (call, count) in calls.items()}


def each(push: Callable[[int], str] | None, units: list[int]) -> None:
    """Call `push` with each unit; without `push`, run the loop alone."""
    if push is None:
        for _ in units:
            pass
        return
    for unit in units:
        push(unit)


def bare(vocabulary: lar.LatentVocabulary, calls: int) -> None:
    """The lower limit: calls that return a shared string."""
    stream = vocabulary.stream()
    flush = stream.flush
    for _ in range(calls):
        flush()


def batch(vocabulary: lar.LatentVocabulary, rows: list[NDArray[np.uint32]]) -> None:
    """Push the units of all requests together, a row at a time."""
    push = vocabulary.stream_batch(REQUESTS).push
    for row in rows:
        push(row)


def decode(vocabulary: lar.LatentVocabulary, ids: list[int]) -> None:
    """The peer, which decodes base tokens."""
    backend = vocabulary.tokenizer.backend
    step = DecodeStream(skip_special_tokens=True).step
    for token in ids:
        step(backend, token)


if __name__ == "__main__":
    entry.run(main)
