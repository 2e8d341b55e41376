"""Runs an agent through tasks of a world, all at once, and keeps what each episode cost."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from benches.agents.agent import Agent, Turn
from benches.agents.worlds.world import Episode, Step, Task, World
from lar.trajectories import Message, Trajectory


@dataclass
class Result:
    """One ended episode.

    units, base_tokens, read, sent: sums over its turns (see `Turn`). passes and seconds: its share of its
    batch's, by units; passes are None where an engine does not tell. cut_off: the turns were used up.
    figures: of the world, by name.
    """

    task: str
    repeated: bool
    success: bool = False
    cut_off: bool = False
    turns: int = 0
    units: int = 0
    base_tokens: int = 0
    read: int = 0
    sent: int = 0
    seconds: float = 0.0
    passes: float | None = None
    figures: dict[str, float] = field(default_factory=dict)
    messages: list[Message] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """The figures as JSON-ready values, without the messages."""
        values = asdict(self)
        del values["messages"]
        return values

    def trajectory(self, world: World, agent: Agent) -> Trajectory:
        """The episode as `lar import` reads it."""
        name = f"{world.name}/{self.task}/{agent.name}"
        return Trajectory(name, self.task, self.messages, self.success, agent.name, world.name)


@dataclass
class _Running:
    episode: Episode
    result: Result

    def take(self, turn: Turn, step: Step, max_turns: int) -> None:
        """Add a turn and what it led to."""
        result = self.result
        result.turns += 1
        result.units += turn.units
        result.base_tokens += turn.base_tokens
        result.read += turn.read
        result.sent += turn.sent
        result.messages.append({"role": "assistant", "content": turn.text})
        if step.observation is None:
            result.success, result.figures = step.success, step.figures
        else:
            result.messages.append(step.observation)
            result.cut_off = result.turns >= max_turns

    def is_over(self, step: Step) -> bool:
        return step.observation is None or self.result.cut_off


def run_batch(world: World, tasks: Sequence[Task], agent: Agent) -> list[Result]:
    """A result for each of `tasks`, in their order; their episodes run at once."""
    running = [_begun(world, task) for task in tasks]
    everyone = list(running)
    try:
        conversations = agent.begin([one.episode.opening for one in running])
        while running:
            turns = conversations.reply()
            steps = [one.episode.step(turn.text) for one, turn in zip(running, turns, strict=True)]
            for one, turn, step in zip(running, turns, steps, strict=True):
                one.take(turn, step, world.max_turns)
            rows = [
                row
                for row, (one, step) in enumerate(zip(running, steps, strict=True))
                if not one.is_over(step)
            ]
            running = [running[row] for row in rows]
            if running:
                conversations.keep(rows)
                conversations.hear([_observation(steps[row]) for row in rows])
    finally:
        for one in everyone:
            one.episode.close()
    results = [one.result for one in everyone]
    _share_costs(results, conversations.seconds, conversations.passes)
    return results


def _begun(world: World, task: Task) -> _Running:
    episode = world.reset(task)
    return _Running(episode, Result(task.id, task.repeated, messages=list(episode.opening.messages)))


def _observation(step: Step) -> Message:
    if step.observation is None:
        raise ValueError("the episode is over")
    return step.observation


def _share_costs(results: Sequence[Result], seconds: float, passes: int | None) -> None:
    """Divide the costs of a batch by the units that each episode generated."""
    units = sum(result.units for result in results)
    for result in results:
        share = result.units / units if units else 1 / len(results)
        result.seconds = seconds * share
        result.passes = None if passes is None else passes * share
