"""Latents forbidden or kept to the agent's turns, as a logits processor of transformers."""

import torch
from torch import Tensor
from transformers import LogitsProcessor

from lar.serving.latent_control import LatentControl, LatentFollower


class LatentsProcessor(LogitsProcessor):  # type: ignore[misc]  # transformers is not typed here
    """Masks the latents in the rows of a batch that may not write one now.

    One for each call of `generate`:

        control = LatentControl.of_export("export/")
        model.generate(..., logits_processor=LogitsProcessorList([LatentsProcessor(control, "forbid")]))

    Rows may change places or lose ids again, as they do in beam search; they are read anew then.
    """

    def __init__(self, control: LatentControl, mode: str = "agent") -> None:
        """Raises OptionError for an unknown mode, or one that the export's template does not allow."""
        self._control = control
        self._mode = mode
        self._followers: list[LatentFollower] = []
        self._read: Tensor | None = None
        control.follow(mode)

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Return `scores` (m, rows), -inf at latents that the rows of `input_ids` (m, n) may not write."""
        self._follow(input_ids)
        rows = [row for row, follower in enumerate(self._followers) if not follower.allowed]
        if not rows:
            return scores
        masked = scores.clone()
        masked[rows, self._control.first : self._control.first + self._control.count] = -torch.inf
        return masked

    def _follow(self, input_ids: Tensor) -> None:
        if self._read is None or not torch.equal(input_ids[:, : self._read.shape[1]], self._read):
            self._followers = [self._control.follow(self._mode) for _ in input_ids]
            self._read = input_ids[:, :0]
        for follower, ids in zip(self._followers, input_ids[:, self._read.shape[1] :].tolist(), strict=True):
            follower.push(ids)
        self._read = input_ids
