"""Arms that are timed in turns: who works when, and what counts as reading."""

from types import SimpleNamespace

import pytest

pytest.importorskip("torch", reason="the benches need the extra `train`")

import torch

from benches.agents import alternating
from benches.agents.alternating import ReadingClock, Timed, timed, timing_table
from benches.agents.episodes import Result


class Slow(torch.nn.Module):
    """Each pass moves the clock by the number of its columns."""

    def forward(self, input_ids):
        Slow.now += input_ids.shape[1]
        return input_ids


@pytest.fixture(autouse=True)
def clock(monkeypatch):
    Slow.now = 0.0
    monkeypatch.setattr(alternating, "_now", lambda: Slow.now)


def test_only_passes_over_more_than_one_column_are_reading():
    model = Slow()
    with ReadingClock(model) as reading:
        model(torch.zeros(2, 7))
        model(torch.zeros(2, 1))
        model(input_ids=torch.zeros(2, 5))
    model(torch.zeros(2, 9))  # after the clock
    assert reading.seconds == 12


def test_arms_take_turns_and_the_first_task_warms_up(world, monkeypatch):
    order = []

    def episodes(_, tasks, agent):
        order.append((tasks[0].id, agent))
        Slow.now += 1
        students[agent].base(torch.zeros(1, 3))
        yield Result(tasks[0].id, repeated=False, units=len(agent), seconds=10.0)

    monkeypatch.setattr(alternating, "run_batch", episodes)
    students = {name: SimpleNamespace(base=Slow()) for name in ("abc", "de")}
    tasks = world.tasks("test", 3)
    found = timed(world, tasks, {name: name for name in students}, students)
    first, second, third = (task.id for task in tasks)
    assert order == [
        *((first, "abc"), (first, "de"), (first, "de"), (first, "abc")),
        *((second, "abc"), (second, "de"), (third, "de"), (third, "abc")),
    ]
    assert found["abc"] == Timed((10.0,) * 3, (7.0,) * 3, (3,) * 3)
    assert found["de"].against(found["abc"])["units"] == pytest.approx(2 / 3)
    assert "| de | 1.000 | 1.000 | 0.667 | 3 |" in timing_table(found, "abc")
