"""The sampling guard as a logits processor of transformers: engines find the latents that were written."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import LogitsProcessor

from lar._core import CanonicalGuard
from lar.errors import OptionError
from lar.vocabulary.vocabulary import LatentVocabulary


class CanonicalProcessor(LogitsProcessor):  # type: ignore[misc]  # transformers is not typed here
    """Masks, in each row, the units after which an engine would find other latents than were written.

    Make one for each call of `generate`. The ids of its first step are the prompt; the units after it are one
    turn, so the prompt's length and padding have no effect. Of a turn that goes on, the last `earlier` ids of
    the prompt are the turn's first units. If rows are reordered or shortened, as in beam
    search and assisted generation, they are read again. If all units of a row would be masked, its scores
    stay unchanged, and an engine may find other latents in the row's text.

        student.model.generate(..., logits_processor=LogitsProcessorList([CanonicalProcessor(vocabulary)]))
    """

    def __init__(self, vocabulary: LatentVocabulary, earlier: int = 0) -> None:
        self.vocabulary = vocabulary
        self._earlier = earlier
        self._prompt = 0
        self._read: Tensor | None = None
        self._guards: list[CanonicalGuard] = []

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Return `scores` (m, rows) with -inf at the excluded units of each row of `input_ids` (m, n).

        Raises:
            OptionError: `scores` has fewer columns than the vocabulary has units.
            VocabularyError: a generated id is neither a base id nor a latent.
        """
        if scores.shape[-1] < self.vocabulary.base_size + self.vocabulary.size:
            raise OptionError(
                f"the model scores {scores.shape[-1]} ids, but the vocabulary has "
                f"{self.vocabulary.base_size + self.vocabulary.size}"
            )
        self._follow(input_ids)
        return _without(scores, [guard.excluded() for guard in self._guards])

    def _follow(self, input_ids: Tensor) -> None:
        """Pass each row's new units to its guard; start over if earlier units changed."""
        if self._read is None:
            self._prompt = input_ids.shape[1] - self._earlier
        if self._read is None or not torch.equal(input_ids[:, : self._read.shape[1]], self._read):
            self._guards = [self.vocabulary.guard() for _ in input_ids]
            self._read = input_ids[:, : self._prompt]
        for guard, units in zip(self._guards, input_ids[:, self._read.shape[1] :].tolist(), strict=True):
            for unit in units:
                guard.push(unit)
        self._read = input_ids


def _without(scores: Tensor, excluded: list[NDArray[np.uint32]]) -> Tensor:
    """Mask the `excluded` columns of each row, except in rows where that would mask all of them."""
    rows = np.repeat(np.arange(len(excluded)), [len(ids) for ids in excluded])
    if not len(rows):
        return scores
    columns = np.concatenate(excluded).astype(np.int64)
    masked = scores.clone()
    masked[torch.from_numpy(rows).to(scores.device), torch.from_numpy(columns).to(scores.device)] = -torch.inf
    all_masked = masked.amax(dim=-1, keepdim=True) == -torch.inf
    return torch.where(all_masked, scores, masked)
