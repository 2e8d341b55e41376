"""One conversation with a student, whose key-value cache lives from turn to turn."""

from collections.abc import Callable
from typing import Unpack

import numpy as np
from numpy.typing import NDArray
from transformers import DynamicCache

from lar.distillation.student import Student
from lar.errors import TrainingError
from lar.generation.generate import Prompt, as_units, pad_left, write
from lar.generation.requests import Requests
from lar.generation.sampling import Generation, Sampling, SamplingKeywords
from lar.utils.keywords import merge_options


class Conversation:
    """One conversation with a student whose cache lives from turn to turn.

    `append` adds what others say (text or ids, as the chat template renders it, up to the header of the
    agent's turn), `reply` lets the student write. Nothing that was read once is read again.
    """

    def __init__(
        self, student: Student, sampling: Sampling | None = None, **keywords: Unpack[SamplingKeywords]
    ) -> None:
        """Begin a conversation; `keywords` are the fields of `Sampling`."""
        self.student = student
        self.sampling = merge_options(Sampling, sampling, keywords)
        self.units = np.zeros(0, dtype=np.uint32)
        self._cache = DynamicCache(config=student.base.config)

    @property
    def base_ids(self) -> NDArray[np.uint32]:
        """The conversation so far in base ids."""
        return self.student.vocabulary.expand(self.units)

    def append(self, prompt: Prompt) -> None:
        """Add text or ids that the student did not write; they are read at the next `reply`."""
        self.units = np.concatenate([self.units, as_units(self.student.vocabulary, prompt)])

    def reply(
        self,
        sampling: Sampling | None = None,
        *,
        on_text: Callable[[str], None] | None = None,
        **keywords: Unpack[SamplingKeywords],
    ) -> Generation:
        """Let the student write until it ends its turn, and add that to the conversation.

        `sampling` and `keywords` take the place of the conversation's own, for this turn.
        A turn that a stop string ended keeps all its units, the stop string's included.
        """
        if not len(self.units) or self._cache.get_seq_length() >= len(self.units):
            raise TrainingError("nothing was appended since the last reply")
        sampling = merge_options(Sampling, sampling or self.sampling, keywords)
        listen = None if on_text is None else lambda _, text: on_text(text)
        requests = Requests(self.student, sampling, 1, listen)
        ids, mask = pad_left([self.units])
        device = self.student.device
        write(self.student, sampling, requests, ids.to(device), mask.to(device), cache=self._cache)
        result = requests.results()[0]
        self.units = np.concatenate([self.units, result.units])
        return result
