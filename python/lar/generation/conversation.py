"""One conversation with a student, whose key-value cache lives from turn to turn."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from transformers import DynamicCache

from lar.distillation.student import Student
from lar.errors import TrainingError
from lar.generation.generate import Prompt, as_units, pad_left, write
from lar.generation.requests import Requests
from lar.generation.sampling import Generation, Sampling


class Conversation:
    """One conversation with a student whose cache lives from turn to turn.

    `append` adds what others say (text or ids, as the chat template renders it, up to the header of the
    agent's turn), `reply` lets the student write. Nothing that was read once is read again.
    """

    def __init__(self, student: Student, sampling: Sampling | None = None) -> None:
        self.student = student
        self.sampling = sampling or Sampling()
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
        self, sampling: Sampling | None = None, *, on_text: Callable[[str], None] | None = None
    ) -> Generation:
        """Let the student write until it ends its turn, and add that to the conversation.

        A turn that a stop string ended keeps all its units, the stop string's included.
        """
        if not len(self.units) or self._cache.get_seq_length() >= len(self.units):
            raise TrainingError("nothing was appended since the last reply")
        sampling = sampling or self.sampling
        listen = None if on_text is None else lambda _, text: on_text(text)
        requests = Requests(self.student, sampling, 1, listen)
        ids, mask = pad_left([self.units])
        device = self.student.device
        write(self.student, sampling, requests, ids.to(device), mask.to(device), cache=self._cache)
        result = requests.results()[0]
        self.units = np.concatenate([self.units, result.units])
        return result
