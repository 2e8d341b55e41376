"""ACON (arXiv 2510.00615): what the agent has read is compressed once a conversation is longer than a bound.

In its smallest form: all observations but the last are cut down to the sentences that share most words with
the task, to a share of their length. The paper has a large model write a summary, by guidelines that it has
learnt from failures, and a small one imitate it. No training: the agent is the control's student. A
conversation that was compressed is read again, and `read` counts that.
"""

import re
from collections.abc import Sequence
from dataclasses import replace

from benches.agents.agent import Agent, Conversations, Turn
from benches.agents.worlds.world import Opening
from lar.trajectories import Message

KEPT = 0.3  # of an observation's characters
BOUND = 900  # units of a conversation

_SENTENCE = re.compile(r"[^.!?\n]*[.!?\n]+|[^.!?\n]+$")
_WORD = re.compile(r"\w+")


class CompressingAgent:
    """An agent whose earlier observations are compressed in conversations of more than `bound` units."""

    def __init__(self, agent: Agent, bound: int = BOUND, kept: float = KEPT) -> None:
        self.name = agent.name
        self._agent = agent
        self._bound = bound
        self._kept = kept

    def begin(self, openings: Sequence[Opening]) -> Conversations:
        """Begin conversations."""
        return _Compressed(self._agent, openings, self._bound, self._kept)


class _Compressed:
    """Conversations that begin anew, with compressed messages, where one has become too long."""

    def __init__(self, agent: Agent, openings: Sequence[Opening], bound: int, kept: float) -> None:
        self._agent = agent
        self._bound = bound
        self._kept = kept
        self._openings = list(openings)
        self._lengths = [0] * len(openings)
        self._done = [0] * len(openings)  # messages that were compressed already
        self._now = agent.begin(openings)
        self._spent = (0.0, 0)

    @property
    def seconds(self) -> float:
        """Of all replies, also before conversations began anew."""
        return self._spent[0] + self._now.seconds

    @property
    def passes(self) -> int | None:
        """Of all replies."""
        return None if self._now.passes is None else self._spent[1] + self._now.passes

    def reply(self) -> list[Turn]:
        """The agent's next turn in each conversation."""
        turns = self._now.reply()
        self._lengths = [turn.sent + turn.units for turn in turns]
        self._openings = [
            replace(opening, messages=[*opening.messages, {"role": "assistant", "content": turn.text}])
            for opening, turn in zip(self._openings, turns, strict=True)
        ]
        return turns

    def hear(self, observations: Sequence[Message]) -> None:
        """Add the observations; if a conversation is too long, all begin anew, this one compressed."""
        too_long = [length > self._bound for length in self._lengths]
        for row, observation in enumerate(observations):
            messages = self._openings[row].messages
            if too_long[row]:
                messages = compressed(messages, self._kept, self._done[row])
                self._done[row] = len(messages)
            self._openings[row] = replace(self._openings[row], messages=[*messages, observation])
        if any(too_long):
            self._spent = (self.seconds, self.passes or 0)
            self._now = self._agent.begin(self._openings)
        else:
            self._now.hear(observations)

    def keep(self, rows: Sequence[int]) -> None:
        """Go on with the conversations `rows` alone."""
        self._openings = [self._openings[row] for row in rows]
        self._lengths = [self._lengths[row] for row in rows]
        self._done = [self._done[row] for row in rows]
        self._now.keep(rows)


def compressed(messages: Sequence[Message], kept: float = KEPT, start: int = 0) -> list[Message]:
    """The messages with observations cut down: those after the agent's first turn, from place `start` on."""
    first = next((place for place, message in enumerate(messages) if message["role"] == "assistant"), 0)
    task = messages[first - 1]["content"] if first else ""
    return [
        message
        if place < max(first, start) or message["role"] == "assistant"
        else {**message, "content": shortened(message["content"], task, kept)}
        for place, message in enumerate(messages)
    ]


def shortened(text: str, task: str, kept: float) -> str:
    """The sentences of `text` that share most words with `task`, in their order: a share of its length."""
    wanted = {word.lower() for word in _WORD.findall(task)}
    sentences = _SENTENCE.findall(text)
    shared = [len(wanted & {word.lower() for word in _WORD.findall(one)}) for one in sentences]
    chosen, room = set(), kept * len(text)
    for place in sorted(range(len(sentences)), key=lambda place: -shared[place]):
        if len(sentences[place]) <= room:
            chosen.add(place)
            room -= len(sentences[place])
    return "".join(sentence for place, sentence in enumerate(sentences) if place in chosen)
