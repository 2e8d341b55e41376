"""A small world, and agents for it."""

import pytest

from benches.agents.worlds.world import Opening, Split, Step, Task
from testing import toy

CITIES = [f"city {number}" for number in range(7)]


class Weather:
    """Ends when the agent has said "warm"; `told` observations at most, then success depends on the task."""

    name = "weather"
    splits: tuple[Split, ...] = ("test", "unseen")
    max_turns = 4

    def __init__(self):
        self.open = 0

    def tasks(self, split, count=None):
        named = CITIES if split == "test" else [f"unseen {city}" for city in CITIES]
        return [Task(city, number) for number, city in enumerate(named)][:count]

    def reset(self, task):
        self.open += 1
        return WeatherEpisode(self, task)

    def runs(self, of="training"):
        yield from toy.trajectories(8, 0 if of == "training" else 50)


class WeatherEpisode:
    def __init__(self, world, task):
        self.world, self.task = world, task
        self.opening = Opening([{"role": "user", "content": f"How warm is it in {task.id}?"}])

    def step(self, reply):
        if "warm" in reply:
            return Step(None, self.task.source % 2 == 0, {"length": float(len(reply))})
        return Step({"role": "user", "content": f"and then, after {len(reply)} characters?"})

    def close(self):
        self.world.open -= 1


@pytest.fixture
def world():
    return Weather()
