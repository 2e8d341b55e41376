"""A student in transformers as an agent. The key-value cache is kept between turns."""

import time
from collections.abc import Sequence

from benches.agents.agent import Turn
from benches.agents.chat_text import ChatText, end_of_turn
from benches.agents.worlds.world import Opening
from lar.distillation import Student
from lar.generation.batch import ConversationBatch
from lar.generation.generate import as_read
from lar.generation.sampling import Sampling
from lar.trajectories import Message


class StudentAgent:
    """Replies as a student does: greedy, or as `sampling` draws."""

    def __init__(self, name: str, student: Student, sampling: Sampling) -> None:
        self.name = name
        self._student = student
        self._sampling = sampling

    def begin(self, openings: Sequence[Opening]) -> "StudentConversations":
        """Begin a batch of conversations."""
        return StudentConversations(self._student, self._sampling, openings)


class StudentConversations:
    """A batch of conversations with one student; see `benches.agents.agent.Conversations`."""

    def __init__(self, student: Student, sampling: Sampling, openings: Sequence[Opening]) -> None:
        self.seconds = 0.0
        self.passes: int | None = 0
        self._student = student
        self._texts = [ChatText(student.vocabulary.tokenizer, opening) for opening in openings]
        self._ends = [""] * len(openings)
        self._sent = [0] * len(openings)
        self._batch = ConversationBatch(student, len(openings), sampling)

    def reply(self) -> list[Turn]:
        """One batched generation."""
        prompts = [as_read(self._student, text.heard) for text in self._texts]
        began = time.perf_counter()
        written = self._batch.reply(prompts)
        self.seconds += time.perf_counter() - began
        self.passes = (self.passes or 0) + max(len(generation.units) for generation in written)
        self._ends = [end_of_turn(self._student.vocabulary.tokenizer, generation) for generation in written]
        turns = []
        for row, (prompt, generation) in enumerate(zip(prompts, written, strict=True)):
            sent = self._sent[row] + len(prompt)
            units, base_tokens = len(generation.units), len(generation.base_ids)
            self._sent[row] = sent + (base_tokens if self._student.decode_only else units)
            turns.append(Turn(generation.text, units, base_tokens, len(prompt), sent))
        return turns

    def hear(self, observations: Sequence[Message]) -> None:
        """Keep the text that the next reply reads."""
        for text, observation, end in zip(self._texts, observations, self._ends, strict=True):
            text.hear(observation, end)

    def keep(self, rows: Sequence[int]) -> None:
        """Drop the other conversations from the batch and its cache."""
        self._batch.keep(rows)
        self._texts = [self._texts[row] for row in rows]
        self._ends = [self._ends[row] for row in rows]
        self._sent = [self._sent[row] for row in rows]
