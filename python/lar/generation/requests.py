"""The requests of a batch while transformers generates: streams, ends and results."""

from collections.abc import Callable, Sequence
from os.path import commonprefix
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import StoppingCriteria

from lar.distillation.student import Student
from lar.generation.sampling import Generation, Sampling
from lar.models.turn_ends import end_ids

OnText = Callable[[int, str], None]


class Requests(StoppingCriteria):  # type: ignore[misc]  # transformers is not typed here
    """The streams of a batch, as a stopping criterion that gets each step's units from `generate`.

    A streamer would not do: versions of transformers differ in whether streamers or criteria are called
    first.
    """

    def __init__(
        self,
        student: Student,
        sampling: Sampling,
        count: int,
        on_text: OnText | None,
        earlier: Sequence[int] = (),
    ) -> None:
        """Begin `count` turns, or go on with one, of which the units `earlier` have been returned."""
        self.ends = _end_ids(student, sampling)
        self.vocabulary = student.vocabulary
        self.on_text = on_text
        self.streams = [self.vocabulary.stream(stop=sampling.stop) for _ in range(count)]
        self.earlier = len(earlier)
        self.returned = ""  # text of `earlier` that the stream holds back, in case a stop string goes on
        if earlier:
            self._go_on(earlier, sampling)
        self.units: list[list[int]] = [[] for _ in range(count)]
        self.texts: list[list[str]] = [[] for _ in range(count)]
        self.reasons: list[str | None] = [None] * count

    def __call__(self, input_ids: Tensor, scores: Any, **arguments: Any) -> Tensor:  # noqa: ARG002
        """Take the last unit of each row of `input_ids` (count, n); returns which are done, bool (count)."""
        for row, unit in enumerate(input_ids[:, -1].tolist()):
            if self.reasons[row] is None:
                self._take(row, unit)
        return torch.tensor([reason is not None for reason in self.reasons], device=input_ids.device)

    def results(self) -> list[Generation]:
        """The result of each request; what a turn that its length ended holds back is emitted."""
        for row, stream in enumerate(self.streams):
            if self.reasons[row] is None:
                self._emit(row, stream.flush())
        return [self._result(row) for row in range(len(self.streams))]

    def _go_on(self, earlier: Sequence[int], sampling: Sampling) -> None:
        stream, copy = self.streams[0], self.vocabulary.stream(stop=sampling.stop)
        for unit in earlier:
            if stream.finish_reason is None:
                stream.push(unit)
                copy.push(unit)
        if stream.finish_reason is None:
            self.returned = copy.flush()
        else:  # another stop string than that of the earlier reply; it ended no turn there
            self.streams[0] = self.vocabulary.stream(stop=sampling.stop)

    def _take(self, row: int, unit: int) -> None:
        self.units[row].append(unit)
        self._emit(row, self.streams[row].push(unit))
        if self.streams[row].finish_reason == "stop":
            self.reasons[row] = "stop"
        elif unit in self.ends:
            self.reasons[row] = "end"
            self._emit(row, self.streams[row].flush())

    def _emit(self, row: int, text: str) -> None:
        if self.returned and text:
            known = commonprefix([self.returned, text])  # noqa: RUF071 (of characters)
            self.returned = self.returned[len(known) :] if known == text else ""
            text = text[len(known) :]
        if text:
            self.texts[row].append(text)
            if self.on_text is not None:
                self.on_text(row, text)

    def _result(self, row: int) -> Generation:
        units = np.array(self.units[row], dtype=np.uint32)
        base_ids = self.vocabulary.expand(units)
        return Generation("".join(self.texts[row]), units, base_ids, self.reasons[row] or "length")


def _end_ids(student: Student, sampling: Sampling) -> frozenset[int]:
    vocabulary = student.vocabulary
    return frozenset([*end_ids(student.base, vocabulary.tokenizer, vocabulary), *sampling.end])
