"""Sessions, in which agents work: a session has an opening and answers each turn of the agent."""

from typing import Protocol

from lar.demo.expert import opening
from lar.demo.tasks import Task
from lar.trajectories import Message


class Session(Protocol):
    """One episode of any environment. `answer_role` is the role ("tool", "user") of its answers."""

    answer_role: str

    def opening(self) -> list[Message]:
        """Return the messages before the agent's first turn."""
        ...

    def step(self, message: str) -> str:
        """Execute the agent's turn and return the answer."""
        ...

    @property
    def turns(self) -> int:
        """The number of turns of the agent so far."""
        ...

    @property
    def done(self) -> bool:
        """Whether the episode is over."""
        ...

    @property
    def solved(self) -> bool:
        """Whether the environment's state solves the task."""
        ...


class TicketSession:
    """A session on one ticket of the order desk."""

    answer_role = "tool"

    def __init__(self, task: Task) -> None:
        self.task = task
        self.environment = task.environment()

    def opening(self) -> list[Message]:
        """Return the policy and the ticket."""
        return opening(self.task)

    def step(self, message: str) -> str:
        """Execute the agent's tool call and return the tool's answer."""
        return self.environment.step(message)

    @property
    def turns(self) -> int:
        """The number of calls of the agent so far."""
        return self.environment.turns

    @property
    def done(self) -> bool:
        """Whether the ticket is closed or the agent has used up its turns."""
        return self.environment.done

    @property
    def solved(self) -> bool:
        """Whether the desk's state is the ticket's goal."""
        return self.task.is_solved(self.environment.world)
