"""The interface of the worlds: tasks of a split, and episodes that answer an agent's replies."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from lar.trajectories import Message, Tool, Trajectory

Split = Literal["test", "unseen", "fresh"]
"""`test`: the tasks of the table. `unseen`: further held-out tasks. `fresh`: tasks that chose no default."""

Runs = Literal["training", "test", "unseen", "fresh"]
"""The tasks that runs are of: those that agents learn from, or those of a split."""


@dataclass(frozen=True)
class Task:
    """One task.

    id: its name, unique in its world. source: what it was made from, which the world reads. repeated: whether
    its expert's run equals one that agents were trained on, so that success at it shows memory alone.
    """

    id: str
    source: Any = field(repr=False)
    repeated: bool = False


@dataclass(frozen=True)
class Opening:
    """What an agent reads before its first turn: messages, and the schemas of its tools if it has any."""

    messages: list[Message]
    tools: list[Tool] | None = None


@dataclass(frozen=True)
class Step:
    """What a reply leads to: an observation, or the end of the episode (None) and its success.

    figures: further scores of an ended episode, by name.
    """

    observation: Message | None
    success: bool = False
    figures: dict[str, float] = field(default_factory=dict)


class Episode(Protocol):
    """One try at a task."""

    opening: Opening

    def step(self, reply: str) -> Step:
        """Take the agent's reply."""
        ...

    def close(self) -> None:
        """Release what the episode holds; called once, also where the agent used up its turns."""
        ...


class World(Protocol):
    """An environment with tasks and with runs to learn from.

    name: of its figures. splits: those that it has. max_turns: replies after which an episode ends without
    success.
    """

    name: str
    splits: tuple[Split, ...]
    max_turns: int

    def tasks(self, split: Split, count: int | None = None) -> list[Task]:
        """The first `count` tasks of a split, in an order that does not depend on `count`."""
        ...

    def reset(self, task: Task) -> Episode:
        """A new episode at a task."""
        ...

    def runs(self, of: Runs = "training") -> Iterator[Trajectory]:
        """Trajectories to learn from, none of which is of a task of a split; or those of a split's tasks."""
        ...
