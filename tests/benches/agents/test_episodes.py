"""Episodes: every task is worked on to its end, in any batch alike, and its costs add up."""

import re
from dataclasses import replace

import pytest

from benches.agents.agent import Turn
from benches.agents.episodes import run_batch


class Scripted:
    """Says "warm" in the turn whose number is the one of its city; it counts a unit for each character."""

    name = "scripted"

    def begin(self, openings):
        return Replies([opening.messages[0]["content"] for opening in openings])


class Replies:
    def __init__(self, questions):
        self.seconds, self.passes, self.rows = 0.0, 0, [(question, 0) for question in questions]

    def reply(self):
        self.rows = [(question, turn + 1) for question, turn in self.rows]
        self.seconds += 1
        self.passes += 10
        return [self._turn(question, turn) for question, turn in self.rows]

    def _turn(self, question, turn):
        city = int(re.search(r"city (\d)", question)[1])
        text = "warm" if turn > city else "x" * (city + turn)
        return Turn(text, len(text), 2 * len(text), read=3, sent=3 * turn)

    def hear(self, observations):
        assert len(observations) == len(self.rows)

    def keep(self, rows):
        self.rows = [self.rows[row] for row in rows]


@pytest.mark.parametrize("batch", [1, 2, 3, 7, 100])
def test_a_batch_of_any_size_gives_each_task_the_same_result(world, batch):
    tasks = world.tasks("test")
    starts = range(0, len(tasks), batch)
    results = [result for at in starts for result in run_batch(world, tasks[at : at + batch], Scripted())]
    assert [result.task for result in results] == [task.id for task in tasks]
    for city, result in enumerate(results):
        turns = min(city + 1, world.max_turns)
        said = [message["content"] for message in result.messages if message["role"] == "assistant"]
        assert (result.turns, result.cut_off) == (turns, city + 1 > world.max_turns)
        assert result.units == sum(map(len, said))
        assert (result.base_tokens, result.read) == (2 * result.units, 3 * turns)
        assert result.sent == 3 * turns * (turns + 1) // 2
        assert result.success == (city % 2 == 0 and not result.cut_off)
        assert result.figures == ({} if result.cut_off else {"length": 4.0})
        assert [message["role"] for message in result.messages[1:3]] == ["assistant", "user"][
            : len(said) * 2 - 1
        ]
    assert world.open == 0


def test_what_a_batch_took_is_divided_among_its_episodes_by_their_units(world):
    results = run_batch(world, world.tasks("test"), Scripted())
    units = sum(result.units for result in results)
    assert len({result.units for result in results}) > 1
    for result in results:
        assert result.seconds == pytest.approx(world.max_turns * result.units / units)
        assert result.passes == pytest.approx(10 * world.max_turns * result.units / units)


def test_a_batch_that_wrote_nothing_divides_its_time_evenly(world, monkeypatch):
    monkeypatch.setattr(Replies, "_turn", lambda *_: Turn("", 0, 0, 1, 1))
    results = run_batch(world, world.tasks("test", 4), Scripted())
    assert [result.seconds for result in results] == [world.max_turns / 4] * 4


def test_a_result_says_whether_its_task_was_repeated(world):
    tasks = [replace(task, repeated=task.source == 1) for task in world.tasks("test", 3)]
    assert [result.repeated for result in run_batch(world, tasks, Scripted())] == [False, True, False]


def test_episodes_are_closed_where_the_agent_fails(world):
    class Broken(Scripted):
        def begin(self, openings):  # noqa: ARG002
            raise RuntimeError("no model")

    with pytest.raises(RuntimeError, match="no model"):
        run_batch(world, world.tasks("test"), Broken())
    assert world.open == 0


def test_an_episode_is_a_trajectory(world):
    agent = Scripted()
    result = run_batch(world, world.tasks("test"), agent)[0]
    trajectory = result.trajectory(world, agent)
    assert (trajectory.task, trajectory.success, trajectory.model) == ("city 0", True, "scripted")
    assert trajectory.messages == result.messages
    assert "messages" not in result.to_dict()
