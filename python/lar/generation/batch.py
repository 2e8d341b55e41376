"""Many conversations with one student as one batch, which keeps its key-value cache between turns.

Each turn appends the same number of columns to all rows: the prompts, padded on the left, and the written
units, padded on the right. Padding stays in the cache and is masked. Positions count units without padding,
so every row gets the same inputs as a single conversation.

A sliding window would count that padding, and a recurrent state would read it. Models with such layers read
the conversations anew in each turn, padded on the left alone.
"""

from collections.abc import Sequence
from typing import Unpack

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lar.distillation.student import Student
from lar.errors import OptionError
from lar.generation.generate import Prompt, as_read, pad_left, write
from lar.generation.growing_cache import cut_back, growing_cache, keeps_all_positions
from lar.generation.requests import Requests
from lar.generation.sampling import Generation, Sampling, SamplingKeywords
from lar.utils.keywords import merge_options


class ConversationBatch:
    """`count` conversations that take their turns together; `lar.generation.Conversation` is a single one."""

    def __init__(
        self,
        student: Student,
        count: int,
        sampling: Sampling | None = None,
        **keywords: Unpack[SamplingKeywords],
    ) -> None:
        """Begin `count` conversations; `keywords` are the fields of `Sampling`."""
        if count < 1:
            raise OptionError(f"a batch needs at least one conversation, not {count}")
        self.student = student
        self.sampling = merge_options(Sampling, sampling, keywords)
        self._ids = torch.zeros(count, 0, dtype=torch.int64)
        self._mask = torch.zeros(count, 0, dtype=torch.int64)
        self._cache = growing_cache(student.base.config)

    def __len__(self) -> int:
        return len(self._ids)

    def reply(self, prompts: Sequence[Prompt]) -> list[Generation]:
        """Append a prompt to each conversation, and return the student's next turn in each.

        Args:
            prompts: for each conversation the text (or ids) since its last turn, as the chat template renders
                it, with the header of the agent's turn.

        A turn that a stop string ends keeps all its units.

        Raises:
            OptionError: a prompt is empty, their number is not that of the conversations, or none is left.
        """
        if isinstance(prompts, str):
            raise OptionError("prompts must be a list with one for each conversation")
        if len(self) == 0:
            raise OptionError("no conversation is left")
        if len(prompts) != len(self):
            raise OptionError(f"{len(prompts)} prompts for {len(self)} conversations")
        rows = [as_read(self.student, prompt) for prompt in prompts]
        if any(len(row) == 0 for row in rows):
            raise OptionError("a prompt is empty")
        before = self._ids, self._mask
        self._append(*pad_left(rows))
        if not keeps_all_positions(self._cache):
            self._begin_anew()
        requests = Requests(self.student, self.sampling, len(self), None)
        device = self.student.device
        ids, mask = self._ids.to(device), self._mask.to(device)
        try:
            write(self.student, self.sampling, requests, ids, mask, cache=self._cache)
        except BaseException:
            # The conversations are as before; what the cache holds of the reply is read anew.
            self._ids, self._mask = before
            self._cache = growing_cache(self.student.base.config)
            raise
        written = requests.results()
        if self.student.decode_only:  # an engine reads the turns as base ids in the next prompts
            self._cache = cut_back(self._cache, self._ids.shape[1], self.student.base.config)
            self._append(*_pad_right([generation.base_ids for generation in written]))
        else:
            self._append(*_pad_right([generation.units for generation in written]))
        return written

    def keep(self, rows: Sequence[int]) -> None:
        """Keep only the conversations `rows`, in this order; none, where all have ended.

        Raises:
            OptionError: a row is no number of a conversation (0 to `len(self)` - 1).
        """
        # A mask of bools would be read as rows 0 and 1.
        if any(isinstance(row, bool) or row not in range(len(self)) for row in rows):
            raise OptionError(f"rows must be of 0 to {len(self) - 1}, not {list(rows)}")
        if list(rows) == list(range(len(self))):
            return
        chosen = torch.tensor(rows, dtype=torch.int64)
        self._ids, self._mask = self._ids[chosen], self._mask[chosen]
        if keeps_all_positions(self._cache) and self._cache.get_seq_length():
            self._cache.batch_select_indices(chosen.to(self.student.device))

    def _begin_anew(self) -> None:
        """Take out the padding between turns, and forget what was read."""
        rows = zip(self._ids, self._mask.bool(), strict=True)
        self._ids, self._mask = pad_left([ids[mask].numpy().astype(np.uint32) for ids, mask in rows])
        self._cache = growing_cache(self.student.base.config)

    def _append(self, ids: Tensor, mask: Tensor) -> None:
        self._ids = torch.cat([self._ids, ids], dim=1)
        self._mask = torch.cat([self._mask, mask], dim=1)


def _pad_right(rows: list[NDArray[np.uint32]]) -> tuple[Tensor, Tensor]:
    """Rows of units as int64 (m, longest), padded with 0 on the right, and the mask of the units."""
    ids = torch.zeros(len(rows), max(len(row) for row in rows), dtype=torch.int64)
    mask = torch.zeros_like(ids)
    for index, row in enumerate(rows):
        ids[index, : len(row)] = torch.from_numpy(row.astype(np.int64))
        mask[index, : len(row)] = 1
    return ids, mask
