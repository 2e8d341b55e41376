"""Latents forbidden or kept to the agent's turns, as a logits processor of transformers."""

import torch
from torch import Tensor
from transformers import LogitsProcessor

from lar.serving.latent_control import LatentControl, LatentFollower


class LatentsProcessor(LogitsProcessor):  # type: ignore[misc]  # transformers is not typed here
    """Masks the latents in those rows of a batch where the next id may not be a latent.

    Make one for each call of `generate`:

        control = LatentControl.of_export("export/")
        model.generate(..., logits_processor=LogitsProcessorList([LatentsProcessor(control, "forbid")]))

    If rows are reordered or shortened, as in beam search, they are read again.
    """

    def __init__(self, control: LatentControl, mode: str = "agent") -> None:
        """Raises OptionError for an unknown mode, or "agent" without an agent's header."""
        self._control = control
        self._mode = mode
        self._followers: list[LatentFollower] = []
        self._read: Tensor | None = None
        control.follow(mode)

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """`scores` (m, rows), with -inf at the latents where a row of `input_ids` (m, n) may not have one."""
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
