"""What an agent works in: a session has an opening and answers each of the agent's turns."""

from typing import Protocol

from lar.demo.expert import opening
from lar.demo.tasks import Task
from lar.trajectories import Message


class Session(Protocol):
    """One episode of any environment. `answer_role` is the role ("tool", "user") of what it answers."""

    answer_role: str

    def opening(self) -> list[Message]:
        """Return the messages that stand before the agent's first turn."""
        ...

    def step(self, message: str) -> str:
        """Carry out the agent's turn and return the answer."""
        ...

    @property
    def turns(self) -> int:
        """How many turns the agent has taken."""
        ...

    @property
    def done(self) -> bool:
        """Whether the agent's next turn would not count any more."""
        ...

    @property
    def solved(self) -> bool:
        """Whether the task is solved, by the environment's state."""
        ...


class TicketSession:
    """One ticket of the order desk at work."""

    answer_role = "tool"

    def __init__(self, task: Task) -> None:
        self.task = task
        self.environment = task.environment()

    def opening(self) -> list[Message]:
        """Return the policy and the ticket."""
        return opening(self.task)

    def step(self, message: str) -> str:
        """Carry out the agent's tool call and return the tool's answer."""
        return self.environment.step(message)

    @property
    def turns(self) -> int:
        """How many calls the agent has made."""
        return self.environment.turns

    @property
    def done(self) -> bool:
        """Whether the ticket is closed or the agent has used up its turns."""
        return self.environment.done

    @property
    def solved(self) -> bool:
        """Whether the desk's state is what the ticket demands."""
        return self.task.is_solved(self.environment.world)
