"""ConciseHint (arXiv 2506.18810): a hint to be concise is written into a thought again and again.

In its smallest form: after every so many units of a turn without an action, `HINT` is put behind what the
agent has written, and it writes on. The distance grows with the thought, as in the paper: `FIRST` + `GROWTH`
x the units so far. The hint's place is always the end; the paper moves it. No training: the agent is the
control's student. A hint counts as read, not as generated. It stays in the context, but not in the text.
"""

import re
import time
from collections.abc import Sequence

from benches.agents.agent import Conversations, Turn
from benches.agents.chat_text import ChatText, end_of_turn
from benches.agents.worlds.world import Opening
from lar.distillation import Student
from lar.generation.conversation import Conversation
from lar.generation.sampling import Sampling
from lar.trajectories import Message

HINT = " (be concise) "
FIRST, GROWTH = 24, 0.2  # units between two hints

_BEGIN = re.compile(r"<(search|answer|execute)>|^Action:", re.MULTILINE)


class HintedAgent:
    """A student that is told to be concise while it thinks. One conversation after the other."""

    def __init__(self, name: str, student: Student, sampling: Sampling) -> None:
        self.name = name
        self._student = student
        self._sampling = sampling

    def begin(self, openings: Sequence[Opening]) -> Conversations:
        """Begin conversations."""
        return _Hinted(self._student, self._sampling, openings)


class _Row:
    """One conversation with hints."""

    def __init__(self, student: Student, sampling: Sampling, opening: Opening) -> None:
        self._sampling = sampling
        self._tokenizer = student.vocabulary.tokenizer
        self._conversation = Conversation(student, sampling)
        self._chat = ChatText(self._tokenizer, opening)
        self._end = ""

    def reply(self) -> Turn:
        """Write until the turn ends; a hint stands wherever a thought has grown long enough."""
        before = len(self._conversation.units)
        self._conversation.append(self._chat.heard)
        sent = len(self._conversation.units)
        text, units, base_tokens = "", 0, 0
        while True:
            room = self._sampling.max_units - units
            part = self._conversation.reply(max_units=min(room, round(FIRST + GROWTH * units)))
            text += part.text
            units += len(part.units)
            base_tokens += len(part.base_ids)
            if part.finish_reason != "length" or units >= self._sampling.max_units:
                break
            if not action_begins(text):
                self._conversation.append(HINT)
        self._end = end_of_turn(self._tokenizer, part)
        read = len(self._conversation.units) - before - units
        return Turn(text, units, base_tokens, read, sent)

    def hear(self, observation: Message) -> None:
        """Keep the text that the next reply reads."""
        self._chat.hear(observation, self._end)


class _Hinted:
    """Conversations with hints, one after the other; see `benches.agents.agent.Conversations`."""

    def __init__(self, student: Student, sampling: Sampling, openings: Sequence[Opening]) -> None:
        self.seconds = 0.0
        self.passes: int | None = 0
        self._rows = [_Row(student, sampling, opening) for opening in openings]

    def reply(self) -> list[Turn]:
        """The agent's next turn in each conversation."""
        began = time.perf_counter()
        turns = [row.reply() for row in self._rows]
        self.seconds += time.perf_counter() - began
        self.passes = (self.passes or 0) + sum(turn.units for turn in turns)
        return turns

    def hear(self, observations: Sequence[Message]) -> None:
        """Add an observation to each conversation."""
        for row, observation in zip(self._rows, observations, strict=True):
            row.hear(observation)

    def keep(self, rows: Sequence[int]) -> None:
        """Go on with the conversations `rows` alone."""
        self._rows = [self._rows[row] for row in rows]


def action_begins(text: str) -> bool:
    """Whether a turn's text has come to its action."""
    return _BEGIN.search(text) is not None
