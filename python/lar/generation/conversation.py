"""One conversation with a student that keeps its key-value cache between turns."""

from collections.abc import Callable
from typing import Unpack

import numpy as np
from numpy.typing import NDArray

from lar.distillation.student import Student
from lar.errors import TrainingError
from lar.generation.generate import Prompt, as_read, pad_left, write
from lar.generation.growing_cache import cut_back, growing_cache
from lar.generation.requests import Requests
from lar.generation.sampling import Generation, Sampling, SamplingKeywords
from lar.utils.keywords import merge_options


class Conversation:
    """One conversation with a student, which reads each unit once and keeps the key-value cache.

    `append` adds the text of the other speakers; `reply` returns the student's next turn. `units` (uint32) is
    the conversation so far.
    """

    def __init__(
        self, student: Student, sampling: Sampling | None = None, **keywords: Unpack[SamplingKeywords]
    ) -> None:
        """Begin a conversation; `keywords` are the fields of `Sampling`."""
        self.student = student
        self.sampling = merge_options(Sampling, sampling, keywords)
        self.units = np.zeros(0, dtype=np.uint32)
        self._cache = growing_cache(student.base.config)
        self._is_complete = False  # the last turn; one that a limit ended can go on
        self._begun = 0  # the units of such a turn

    @property
    def base_ids(self) -> NDArray[np.uint32]:
        """The conversation so far in base ids."""
        return self.student.vocabulary.expand(self.units)

    def append(self, prompt: Prompt) -> None:
        """Add text or ids of other speakers, which the next `reply` reads.

        `prompt` is as the chat template renders it; the last one before a reply ends with the header of the
        agent's turn.
        """
        if self.student.decode_only and self._begun:
            self._read_back()
        self.units = np.concatenate([self.units, as_read(self.student, prompt)])
        self._is_complete = False
        self._begun = 0

    def _read_back(self) -> None:
        """Take the last turn as base ids, as an engine reads it in the next prompt."""
        before, turn = self.units[: -self._begun], self.units[-self._begun :]
        self.units = np.concatenate([before, self.student.vocabulary.expand(turn)])
        self._cache = cut_back(self._cache, len(before), self.student.base.config)

    def reply(
        self,
        sampling: Sampling | None = None,
        *,
        on_text: Callable[[str], None] | None = None,
        **keywords: Unpack[SamplingKeywords],
    ) -> Generation:
        """Return the student's next turn, and add it to the conversation.

        A turn that `max_units` ended goes on in the next reply, if nothing is appended before it. So may a
        stop string, whose beginning is then in the earlier reply's text. If an error interrupts a reply, such
        as one of `on_text`, nothing of it is added.

        `on_text` is called with each piece of text once it is final. A turn that a stop string ends keeps all
        its units, including those of the stop string.

        `sampling` and `keywords` override the conversation's, for this turn.

        Raises:
            TrainingError: nothing was appended since the last reply, whose turn is complete.
            OptionError: a keyword is no field of `Sampling`, or a value is out of its range.
        """
        if not len(self.units) or self._is_complete:
            raise TrainingError("nothing was appended since the last reply")
        sampling = merge_options(Sampling, sampling or self.sampling, keywords)
        listen = None if on_text is None else lambda _, text: on_text(text)
        earlier = self.units[len(self.units) - self._begun :].tolist()
        requests = Requests(self.student, sampling, 1, listen, earlier)
        ids, mask = pad_left([self.units])
        device = self.student.device
        try:
            write(self.student, sampling, requests, ids.to(device), mask.to(device), cache=self._cache)
        except BaseException:
            # It holds a part of a reply that is none. The next reply reads the conversation anew.
            self._cache = growing_cache(self.student.base.config)
            raise
        result = requests.results()[0]
        self.units = np.concatenate([self.units, result.units])
        self._is_complete = result.finish_reason != "length"
        self._begun += len(result.units)
        return result
