"""Trajectories -> token ids with the agent's mask, in order, on all cores.

Work is shared between threads, not processes. The tokenizers library encodes a batch on its threads,
with the GIL released. All that needs the GIL (reading, rendering, digests, arrays of ids) takes a tenth of
the time: 2.6 of 26 CPU seconds for 31 million characters with Qwen3's tokenizer. So about ten cores can be
kept busy. Two processes were no faster than two threads on two cores (5.7 to 11 s against 4.1 to 7.2), and
every script that builds a corpus would need a `__main__` guard.
"""

import hashlib
import json
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import groupby, islice

import numpy as np
from numpy.typing import NDArray

from lar.corpus.known_texts import KnownTexts
from lar.corpus.shards import Row
from lar.errors import OptionError, TokenizerError
from lar.tokenizer.prefixes import Prefixes, prefixes
from lar.tokenizer.spans import Span
from lar.tokenizer.tokenizer import Tokenizer
from lar.tokenizer.unwritten import Unwritten
from lar.trajectories.groups import in_groups
from lar.trajectories.schema import Trajectory
from lar.utils.pool import cores

# A chunk is closed at the first of the two limits: large enough for all cores, small enough for memory.
CHUNK_TRAJECTORIES = 64
CHUNK_CHARACTERS = 1_000_000
# Each chunk is encoded on all cores; several in progress keep these busy while others are rendered.
_MOST_CHUNKS = 8


@dataclass(frozen=True, slots=True)
class Encoded:
    """One trajectory after encoding: its rows, or the reason why the chat template refused it."""

    digest: bytes  # SHA-256 of the trajectory
    rows: tuple[Row, ...] = ()
    refusal: str | None = None
    unwritten: Unwritten | None = None  # what the chat template leaves out; None without messages
    unprompted: tuple[int, ...] = ()  # the numbers of turns that are behind other text than a prompt's


# The ids of a conversation (n), and whether each is the agent's (n).
Masked = tuple[NDArray[np.uint32], NDArray[np.bool_]]
# Encodes trajectories, in their order.
Encode = Callable[[Iterable[Trajectory], Tokenizer], Iterator[Encoded]]


def local_encode(workers: int | None) -> Encode:
    """Return `encode_all` with `workers` (None: one per core, at most 8); OptionError if less than 1."""
    if workers is not None and workers < 1:
        raise OptionError(f"workers must be at least 1, not {workers}")
    return partial(encode_all, workers=workers or min(cores(), _MOST_CHUNKS))


def encode_all(trajectories: Iterable[Trajectory], tokenizer: Tokenizer, workers: int) -> Iterator[Encoded]:
    """Encode `trajectories` in order, with `workers` chunks of them in progress at a time."""
    known = KnownTexts(tokenizer)
    if workers == 1:
        for chunk in chunks_of(trajectories):
            yield from encode_chunk(chunk, tokenizer, known)
        return
    with ThreadPoolExecutor(workers, thread_name_prefix="lar-corpus") as pool:
        pending: deque[Future[list[Encoded]]] = deque()
        try:
            for chunk in chunks_of(trajectories):
                pending.append(pool.submit(encode_chunk, chunk, tokenizer, known))
                if len(pending) > workers:
                    yield from pending.popleft().result()
            while pending:
                yield from pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()


def chunks_of(trajectories: Iterable[Trajectory]) -> Iterator[list[Trajectory]]:
    """Yield `trajectories` in groups, each to be encoded as one batch."""
    return in_groups(trajectories, CHUNK_TRAJECTORIES, CHUNK_CHARACTERS)


def digest(trajectory: Trajectory) -> bytes:
    """Return the SHA-256 of what a corpus is built from: id, task, success, tools and messages."""
    parts = (trajectory.id, trajectory.task, trajectory.success, trajectory.tools, trajectory.messages)
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).digest()


def encode_chunk(
    chunk: Sequence[Trajectory], tokenizer: Tokenizer, known: KnownTexts | None = None
) -> list[Encoded]:
    """Render and encode a group of trajectories, in order; `known` are the texts of earlier groups."""
    rendered = [_render(trajectory, tokenizer) for trajectory in chunk]
    conversations = [
        _merged(spans) for found in rendered if not isinstance(found, str) for spans in found.spans
    ]
    if tokenizer.encodes_piecewise:
        encoded = iter(_encode_pieces(conversations, known or KnownTexts(tokenizer)))
    else:
        encoded = iter(_encode_whole(conversations, tokenizer))
    return [
        Encoded(digest(trajectory), refusal=found)
        if isinstance(found, str)
        else Encoded(
            digest(trajectory),
            _rows(trajectory, list(islice(encoded, len(found.spans)))),
            unwritten=found.unwritten,
            unprompted=tuple(found.unprompted),
        )
        for trajectory, found in zip(chunk, rendered, strict=True)
    ]


def _rows(trajectory: Trajectory, encoded: Sequence[Masked]) -> tuple[Row, ...]:
    """A row for each of a trajectory's prefixes."""
    return tuple(
        Row(trajectory.id, trajectory.task, trajectory.success, *masked, continues=number > 0)
        for number, masked in enumerate(encoded)
    )


def _render(trajectory: Trajectory, tokenizer: Tokenizer) -> Prefixes | str:
    """Return the rendered conversation, or the reason why the chat template refuses it."""
    if tokenizer.chat_template is None:
        return prefixes(tokenizer, trajectory)  # raises: no trajectory can be rendered
    try:
        return prefixes(tokenizer, trajectory)
    except TokenizerError as error:
        return str(error)


def _merged(spans: Sequence[Span]) -> list[Span]:
    """Join neighbouring spans of the same side: they are one text, and are encoded as one."""
    return [
        Span("".join(span.text for span in group), agent)
        for agent, group in groupby(spans, key=lambda span: span.agent)
    ]


def _encode_pieces(conversations: Sequence[Sequence[Span]], known: KnownTexts) -> list[Masked]:
    """Encode each span on its own.

    When an agent runs, its first token is generated after the prompt's last one, even where the tokenizer
    would join the two texts in one token. So no token may cross the border, and the mask is exact.
    """
    pieces = iter(known.encode_batch([span.text for spans in conversations for span in spans]))
    return [_joined([(next(pieces), span.agent) for span in spans]) for spans in conversations]


def _joined(pieces: Sequence[tuple[NDArray[np.uint32], bool]]) -> Masked:
    if not pieces:
        return np.empty(0, np.uint32), np.empty(0, np.bool_)
    lengths = [len(tokens) for tokens, _ in pieces]
    return np.concatenate([tokens for tokens, _ in pieces]), np.repeat(
        [agent for _, agent in pieces], lengths
    )


def _encode_whole(conversations: Sequence[Sequence[Span]], tokenizer: Tokenizer) -> list[Masked]:
    """Encode each conversation as one text: a token is the agent's if it begins in the agent's text.

    For tokenizers that put a space before each text.
    """
    encoded = []
    for spans in conversations:
        tokens, starts = tokenizer.encode_with_offsets("".join(span.text for span in spans))
        ends = np.cumsum([len(span.text) for span in spans])
        sides = np.array([span.agent for span in spans] + [False], dtype=np.bool_)
        encoded.append((tokens, sides[np.searchsorted(ends, starts, side="right")]))
    return encoded
