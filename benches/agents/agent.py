"""What an agent is to the worlds: it begins conversations and replies in all of them at once."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from benches.agents.worlds.world import Opening
from lar.trajectories import Message


@dataclass(frozen=True)
class Turn:
    """One reply, and what it cost.

    units: that the agent generated, with the one that ends the turn. base_tokens: these in base tokens.
    read: units of the conversation that the model had not read before. sent: units of the whole conversation
    before the reply, which an API bills as the prompt.
    """

    text: str
    units: int
    base_tokens: int
    read: int
    sent: int


class Conversations(Protocol):
    """Conversations that take their turns together."""

    @property
    def seconds(self) -> float:
        """The time that the replies took so far."""
        ...

    @property
    def passes(self) -> int | None:
        """The model's forward passes in them, of the whole batch; None where an engine does not tell."""
        ...

    def reply(self) -> list[Turn]:
        """The agent's next turn in each conversation."""
        ...

    def hear(self, observations: Sequence[Message]) -> None:
        """Add an observation to each conversation."""
        ...

    def keep(self, rows: Sequence[int]) -> None:
        """Go on with the conversations `rows` alone, in this order."""
        ...


class Agent(Protocol):
    """An agent. `name` is the model of the trajectories that it writes."""

    name: str

    def begin(self, openings: Sequence[Opening]) -> Conversations:
        """Begin a conversation with each opening."""
        ...
