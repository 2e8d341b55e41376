"""From conversations to training batches: windows of units that face base tokens, packed into rows.

A conversation that is longer than `max_length` base tokens is cut into windows that together hold all of
the agent's text. Each window keeps the conversation's head (a quarter of the window: the system prompt, which
says what the agent is to do), then a stretch whose first part (another quarter) only gives context; the loss
falls on what no window before has held. Teacher and student read the same window, so what was cut is missing
for both. Cutting at the end instead would drop most of what an agent says late in a long task.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lar.corpus import Corpus
from lar.errors import CorpusError
from lar.vocabulary import LatentVocabulary, Reparameterized


@dataclass(frozen=True, slots=True)
class Example:
    """A window of u units that stand for n base tokens.

    units: int64 (u); tokens: int64 (n); starts: int64 (u), the position in `tokens` of each unit's first
    token; taught: int64 (t), the indices (1 and above) of the agent's units that the loss falls on.
    """

    units: NDArray[np.int64]
    tokens: NDArray[np.int64]
    starts: NDArray[np.int64]
    taught: NDArray[np.int64]


def examples(corpus: Corpus, vocabulary: LatentVocabulary, max_length: int) -> Iterator[Example]:
    """Yield the windows of every conversation in which the agent says something, in the corpus's order.

    A vocabulary without latents gives the control's examples: units are base tokens.

    Raises:
        CorpusError: corpus and vocabulary are of different tokenizers.
    """
    if corpus.manifest.tokenizer_fingerprint != vocabulary.tokenizer_fingerprint:
        raise CorpusError(f"{corpus.path}: made with another tokenizer than the vocabulary")
    for shard in corpus.shards():
        for begin, end in zip(shard.offsets[:-1].tolist(), shard.offsets[1:].tolist(), strict=True):
            tokens = shard.tokens[begin:end]
            parsed = vocabulary.reparameterize(tokens, shard.action[begin:end])
            yield from windows(tokens, parsed, max_length)


def windows(tokens: NDArray[np.uint32], parsed: Reparameterized, max_length: int) -> Iterator[Example]:
    """Cut one conversation, base ids (n) and its units, into examples of at most `max_length` base tokens.

    Only a unit of more than half of that can make a window longer.
    """
    starts, count = parsed.starts, len(parsed.units)
    if starts[-1] <= max_length:
        yield from _example(tokens, parsed, np.arange(count), 0)
        return
    end = max(1, _units_until(starts, max_length))
    yield from _example(tokens, parsed, np.arange(end), 0)
    head = _units_until(starts, max_length // 4)
    room = max_length - int(starts[head])
    while end < count:
        # Units [context, end) were taught before; they are here to be read.
        context = max(head, _first_unit_at(starts, int(starts[end]) - max_length // 4))
        if head == 0:  # a very long first unit: something must stand before what is taught
            context = min(context, end - 1)
        new_end = max(end + 1, _units_until(starts, int(starts[context]) + room))
        chosen = np.concatenate([np.arange(head), np.arange(context, new_end)])
        yield from _example(tokens, parsed, chosen, end)
        end = new_end


def _units_until(starts: NDArray[np.int64], limit: int) -> int:
    """How many whole units fit into the first `limit` base tokens."""
    return int(np.searchsorted(starts, limit, side="right")) - 1


def _first_unit_at(starts: NDArray[np.int64], position: int) -> int:
    """The first unit that starts at `position` or after it."""
    return int(np.searchsorted(starts, position, side="left"))


def _example(
    tokens: NDArray[np.uint32], parsed: Reparameterized, chosen: NDArray[np.int64], first_taught: int
) -> Iterator[Example]:
    """The example of the `chosen` units, if one of them from `first_taught` on is the agent's."""
    taught = np.flatnonzero(parsed.action[chosen] & (chosen >= first_taught))
    taught = taught[taught > 0]  # nothing stands before the first unit to predict it from
    if not len(taught):
        return
    begins, ends = parsed.starts[chosen], parsed.starts[chosen + 1]
    lengths = ends - begins
    local = np.concatenate([[0], np.cumsum(lengths)[:-1]]).astype(np.int64)
    base = np.repeat(begins - local, lengths) + np.arange(int(lengths.sum()))
    yield Example(parsed.units[chosen].astype(np.int64), tokens[base].astype(np.int64), local, taught)


class PackedExamples(torch.utils.data.Dataset[dict[str, Tensor]]):
    """Rows of whole examples, at most `batch_tokens` base tokens each (more only for one example alone).

    What goes together is drawn once by `seed`; so an epoch is the same rows in another order, and a run that
    was stopped finds its place again. Item: see `pack`.
    """

    def __init__(self, source: list[Example], batch_tokens: int, seed: int = 0) -> None:
        if not source:
            raise CorpusError("the corpus holds nothing that the agent said")
        self.examples = source
        self.rows = _group([len(example.tokens) for example in source], batch_tokens, seed)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return pack([self.examples[i] for i in self.rows[index]])


def _group(lengths: list[int], limit: int, seed: int) -> list[list[int]]:
    """Shuffle the examples and fill rows with them in that order."""
    rows: list[list[int]] = []
    filled = limit
    for index in np.random.default_rng(seed).permutation(len(lengths)).tolist():
        if not rows or filled + lengths[index] > limit:
            rows.append([])
            filled = 0
        rows[-1].append(index)
        filled += lengths[index]
    return rows


def pack(group: list[Example]) -> dict[str, Tensor]:
    """Several examples as one row of units (1, u) and one of base tokens (1, n), positions restarting.

    student_at and teacher_at (t): where in those rows the hidden states stand that predict `labels` (t), the
    taught units; all int64.
    """
    units = [len(example.units) for example in group]
    tokens = [len(example.tokens) for example in group]
    before = zip(group, _sums_before(units), _sums_before(tokens), strict=True)
    student, teacher, labels = [], [], []
    for example, unit_base, token_base in before:
        student.append(example.taught - 1 + unit_base)
        teacher.append(example.starts[example.taught] - 1 + token_base)
        labels.append(example.units[example.taught])
    return {
        "units": _row([example.units for example in group]),
        "unit_positions": _row([np.arange(length) for length in units]),
        "tokens": _row([example.tokens for example in group]),
        "token_positions": _row([np.arange(length) for length in tokens]),
        "student_at": torch.from_numpy(np.concatenate(student)),
        "teacher_at": torch.from_numpy(np.concatenate(teacher)),
        "labels": torch.from_numpy(np.concatenate(labels)),
    }


def _row(parts: list[NDArray[np.int64]]) -> Tensor:
    return torch.from_numpy(np.concatenate(parts))[None]


def _sums_before(lengths: list[int]) -> list[int]:
    return [0, *np.cumsum(lengths)[:-1].tolist()]
