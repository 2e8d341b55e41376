"""The environments of the arms: tasks, an expert, and settings for a tiny model."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from lar.demo.base_model import BaseModelOptions
from lar.demo.expert import demonstrate
from lar.demo.session import Session, TicketSession
from lar.demo.tasks import Task, held_out_tasks, training_tasks
from lar.distillation import DistillOptions
from lar.trajectories import Trajectory


@dataclass(frozen=True)
class Settings:
    """The settings that all arms of a world share.

    training_tasks: number of tasks that the expert demonstrates; the base learns from all of them. learnt:
    the share of them that arms are mined and distilled from. episodes: number of held-out tasks that each arm
    works on. latents, min_support: see `lar.mine`. max_units: limit of a turn. distillation: an arm's
    name changes some of these options.
    """

    training_tasks: int
    episodes: int
    latents: int
    min_support: int
    max_units: int
    base_model: BaseModelOptions
    learnt: float = 1.0
    distillation: DistillOptions = field(
        default_factory=lambda: DistillOptions(
            max_steps=100,
            max_length=512,
            batch_tokens=512,
            learning_rate=1e-3,
            row_learning_rate=1e-2,
            device="cpu",
            save_steps=10_000,
        )
    )


class Job(Protocol):
    """One task: an agent works on it in a session, and an expert shows how."""

    def session(self) -> Session:
        """Return the task at its start."""
        ...

    def demonstration(self) -> Trajectory:
        """Return the expert's trajectory."""
        ...


class World(Protocol):
    """An environment that makes any number of tasks."""

    name: str
    settings: Settings

    def training(self, count: int, seed: int) -> list[Job]:
        """Return `count` training tasks."""
        ...

    def held_out(self, count: int, seed: int, training: Sequence[Job]) -> list[Job]:
        """Return `count` tasks with openings that differ from each other's and from those of `training`."""
        ...


@dataclass(frozen=True)
class Ticket:
    """A ticket of the demo's order desk."""

    task: Task

    def session(self) -> Session:
        """Return the ticket at its start."""
        return TicketSession(self.task)

    def demonstration(self) -> Trajectory:
        """Return the expert's trajectory."""
        return demonstrate(self.task)


class OrderDesk:
    """The demo's order desk, with as many tasks as in `lar demo`."""

    name = "demo"
    settings = Settings(
        training_tasks=1500,
        episodes=200,
        latents=128,
        min_support=20,
        max_units=80,
        base_model=BaseModelOptions(),
    )

    def training(self, count: int, seed: int) -> list[Job]:
        """The demo's training tickets."""
        return [Ticket(task) for task in training_tasks(count, seed)]

    def held_out(self, count: int, seed: int, training: Sequence[Job]) -> list[Job]:
        """The demo's held-out tickets."""
        known = [job.task for job in training if isinstance(job, Ticket)]
        return [Ticket(task) for task in held_out_tasks(count, seed, known)]
