"""BabyAI's grid worlds as text, with minigrid's bot as the expert (`pip install minigrid==3.2.0`).

`babyai_text.py`, in the folder of --environments, turns the grid into text. It is imported by its path. The
expert's thoughts name the bot's current subgoal.
"""

import importlib.util
import re
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any

from benches.arms.worlds import Job, Settings
from lar.demo.base_model import BaseModelOptions
from lar.demo.session import Session
from lar.trajectories import Message, Trajectory

TEXT_FACE = "babyai_text.py"
ENVIRONMENT = "BabyAI-GoToLocalS6N4-v0"
MAX_TURNS = 10  # the expert needs 4 on average and at most 8; a lost agent walks in circles
FIRST_HELD_OUT_SEED = 1_000_000_000

_ACTION = re.compile(r"^Action: (.*)$", re.MULTILINE)


class GridSession:
    """One episode. A turn of the agent is a thought and a line `Action: ...`."""

    answer_role = "user"

    def __init__(self, face: ModuleType, seed: int) -> None:
        self.face = face
        self.world = face.TextEnv(ENVIRONMENT)
        self.first = self.world.reset(seed)
        self.turns = 0
        self.solved = False
        self._over = False

    def opening(self) -> list[Message]:
        """Return the system message with the actions, and a user message with the mission and the view."""
        policy = "You control an agent in a grid world. Actions: " + ", ".join(self.face.ACT) + "."
        return [{"role": "system", "content": policy}, {"role": "user", "content": self.first}]

    def step(self, message: str) -> str:
        """Take the action that the turn names and return the next view."""
        self.turns += 1
        found = _ACTION.search(message)
        seen, reward, self._over = self.world.step(found[1].strip() if found else "")
        self.solved = self.solved or reward > 0
        return str(seen)

    @property
    def done(self) -> bool:
        """Whether the mission is over or the turns are used up."""
        return self._over or self.turns >= MAX_TURNS


@dataclass(frozen=True)
class Mission:
    """The episode of one seed."""

    face: ModuleType
    seed: int

    def session(self) -> GridSession:
        """Return the grid at its start."""
        return GridSession(self.face, self.seed)

    def demonstration(self) -> Trajectory:
        """Return the bot's trajectory; it ends with the bot's last turn."""
        session = self.session()
        bot = self.face.BabyAIBot(session.world.env)
        messages = session.opening()
        action: Any = None
        while True:
            action = bot.replan(action)
            turn = f"Thought: {self.face.thought(bot)}\nAction: {self.face.ACT[int(action)]}"
            messages.append({"role": "assistant", "content": turn})
            answer = session.step(turn)
            if session._over:
                break
            messages.append({"role": session.answer_role, "content": answer})
        name = f"{ENVIRONMENT}/{self.seed}"
        return Trajectory(name, name, messages, session.solved, "BabyAIBot", "minigrid")


class BabyAI:
    """Missions of BabyAI's GoToLocalS6N4."""

    name = "babyai"
    settings = Settings(
        training_tasks=2000,
        episodes=200,
        latents=64,
        min_support=20,
        max_units=40,
        base_model=BaseModelOptions(steps=400),
    )

    def __init__(self, environments: Path) -> None:
        self.environments = environments

    @cached_property
    def face(self) -> ModuleType:
        """The module that turns the grid into text."""
        return load_face(self.environments)

    def training(self, count: int, seed: int) -> list[Job]:
        """`count` missions, of the seeds from 1,000,000 * `seed` on."""
        first = seed * 1_000_000
        return [Mission(self.face, first + index) for index in range(count)]

    def held_out(self, count: int, seed: int, training: Sequence[Job]) -> list[Job]:
        """`count` missions with first views that differ from each other's and from those of `training`."""
        seen = {_opening(job.session()) for job in training}
        fresh: list[Job] = []
        for mission in self._from(FIRST_HELD_OUT_SEED + seed * 1_000_000):
            if len(fresh) == count:
                break
            text = _opening(mission.session())
            if text not in seen:
                seen.add(text)
                fresh.append(mission)
        return fresh

    def _from(self, seed: int) -> Iterator[Mission]:
        while True:
            yield Mission(self.face, seed)
            seed += 1


def load_face(environments: Path) -> ModuleType:
    """Import `babyai_text.py`; SystemExit with one line where it or minigrid is missing."""
    path = environments / TEXT_FACE
    if not path.is_file():
        raise SystemExit(f"{path}: no such file; --environments names the folder that holds it")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            spec.loader.exec_module(module)
    except ImportError as error:
        raise SystemExit(f"{path} needs minigrid: pip install minigrid==3.2.0 ({error})") from None
    return module


def _opening(session: Session) -> str:
    return str(session.opening()[-1]["content"])
