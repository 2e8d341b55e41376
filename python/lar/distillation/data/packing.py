"""Examples packed into rows of units and rows of base tokens; positions restart with each example."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lar.distillation.data.branches import Branched
from lar.distillation.data.examples import Example, Examples
from lar.errors import CorpusError
from lar.scoring.store import TopTokens


class PackedExamples(torch.utils.data.Dataset[dict[str, Tensor]]):
    """Rows of whole examples, at most `batch_tokens` base tokens each (more only for one example alone).

    The rows are drawn once by `seed`. An epoch is the same rows in another order, so a run can resume inside
    it. An item is a dict of `pack` with `row` (1), int64, its index, the argument of `conversations`.
    """

    def __init__(self, source: Examples, batch_tokens: int, seed: int = 0) -> None:
        if not len(source):
            raise CorpusError("the corpus holds no text of the agent")
        self.examples = source
        self.rows = _group(source.lengths.tolist(), batch_tokens, seed)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        packed = pack([self.examples[i] for i in self.rows[index]])
        return {**packed, "row": torch.tensor([index])}

    def set_epoch(self, epoch: int) -> None:
        """See `Examples.set_epoch`."""
        self.examples.set_epoch(epoch)

    def conversations(self, row: int) -> list[str]:
        """The ids of the trajectories in a row, each once."""
        return list(dict.fromkeys(self.examples.conversation(i) for i in self.rows[row]))


def _group(lengths: list[int], limit: int, seed: int) -> list[list[int]]:
    """Rows of example indices: shuffled, and filled in that order."""
    rows: list[list[int]] = []
    filled = limit
    for index in np.random.default_rng(seed).permutation(len(lengths)).tolist():
        if not rows or filled + lengths[index] > limit:
            rows.append([])
            filled = 0
        rows[-1].append(index)
        filled += lengths[index]
    return rows


def pack(group: Sequence[Example]) -> dict[str, Tensor]:
    """Several examples as one row of units (1, u) and one of base tokens (1, n), positions restarting.

    student_at and teacher_at (t), int64: the places in those rows of the hidden states that predict `labels`
    (t), the supervised units. has_teacher (t), bool: where the teacher has a distribution; elsewhere
    teacher_at has no meaning. unit_ends (u), int64: the place in the second row of each unit's last token, -1
    for a unit that ends inside a token. With a cached teacher also its top_ids (t, k), top_probabilities
    (t, k), float32, and tail (t), float32.

    Of examples with branches the first row has their ids in place of units, and `streams` (3, u), int64, is
    the argument of `stream_mask`; unit_ends has no meaning then.
    """
    rows = [example.branched for example in group if example.branched is not None]
    units = [len(row.ids) for row in rows] or [len(example.units) for example in group]
    tokens = [len(example.tokens) for example in group]
    before = zip(group, _sums_before(units), _sums_before(tokens), strict=True)
    student, teacher, labels, ends = [], [], [], []
    has_teacher = [example.has_teacher for example in group]
    for example, unit_base, token_base in before:
        predicts = example.supervised - 1 if example.branched is None else example.branched.predicts
        student.append(predicts + unit_base)
        teacher.append(example.starts[example.supervised] - 1 + token_base)
        labels.append(example.units[example.supervised])
        after = np.append(example.starts[1:], len(example.tokens)) - 1 + token_base
        ends.append(np.where(np.append(example.begins[1:], [True]), after, -1))
    return {
        "units": _row([row.ids for row in rows] or [example.units for example in group]),
        "unit_positions": _row([row.positions for row in rows] or [np.arange(length) for length in units]),
        **_streams(rows),
        "tokens": _row([example.tokens for example in group]),
        "token_positions": _row([np.arange(length) for length in tokens]),
        "student_at": torch.from_numpy(np.concatenate(student)),
        "teacher_at": torch.from_numpy(np.concatenate(teacher)),
        "has_teacher": torch.from_numpy(np.concatenate(has_teacher)),
        "labels": torch.from_numpy(np.concatenate(labels)),
        "unit_ends": torch.from_numpy(np.concatenate(ends)),
        **_pack_top([example.top for example in group]),
    }


def _streams(rows: Sequence[Branched]) -> dict[str, Tensor]:
    """The argument of `stream_mask` for packed rows of a conversation and its branches."""
    if not rows:
        return {}
    counts = [int(row.branch.max(initial=0)) + 1 for row in rows]
    before = _sums_before(counts)
    own = [row.branch + first for row, first in zip(rows, before, strict=True)]
    parents = [np.full(len(row.ids), first) for row, first in zip(rows, before, strict=True)]
    parts = (own, parents, [row.sees for row in rows])
    return {"streams": torch.from_numpy(np.stack([np.concatenate(part) for part in parts]))}


def _pack_top(tops: Sequence[TopTokens | None]) -> dict[str, Tensor]:
    found = [top for top in tops if top is not None]
    if len(found) < len(tops):
        return {}
    return {
        "top_ids": torch.from_numpy(np.concatenate([top.ids for top in found]).astype(np.int64)),
        "top_probabilities": torch.from_numpy(np.concatenate([top.probabilities for top in found])),
        "tail": torch.from_numpy(np.concatenate([top.tail for top in found])),
    }


def _row(parts: list[NDArray[np.int64]]) -> Tensor:
    return torch.from_numpy(np.concatenate(parts))[None]


def _sums_before(lengths: list[int]) -> list[int]:
    return [0, *np.cumsum(lengths)[:-1].tolist()]
