"""Telephone support: tau2-bench's telecom domain in solo mode, where the agent also handles the phone.

A turn is a thought and a line `Action: {"name": ..., "arguments": ...}`; the action `done` ends the episode.
Success needs every assertion of the task, and the transfer to a human where the task asks for it.

Splits. `test` is the official one, of 40 tasks. `unseen` has 200 further tasks of the full set; that split is
this project's. Tasks that differ in the customer's persona alone are one *problem*: an agent learns from no
run of a held-out problem. The runs are a scripted expert's, in varied wording (`wording.py`). 13 of the 40
tests have the same expert's run as a training task, but for the wording; they are marked as repeated.

`shared` holds environments/tau2_telecom.py, which needs
`pip install --no-deps inspect-evals==0.26.0 && pip install pydantic toml pyyaml`.
"""

import importlib.util
import json
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any

from benches.agents.worlds.data import records, shuffled
from benches.agents.worlds.wording import varied
from benches.agents.worlds.world import Opening, Runs, Split, Step, Task
from lar.trajectories import Message, Trajectory

UNSEEN = 200
TRANSFER = "transfer_to_human_agents"
POLICY = "You are a telecom support agent. Solve the ticket with one tool call per turn."

_ACTION = re.compile(r"^Action: (.*)$", re.MULTILINE)
_PERSONA = re.compile(r"\[PERSONA:[^\]]*\]")


class Telecom:
    """The world of tickets."""

    name = "tau2_telecom"
    splits: tuple[Split, ...] = ("test", "unseen")
    max_turns = 60  # the expert needs 26 on average

    def __init__(self, shared: Path, wording_seed: int = 0) -> None:
        self._folder = shared / "environments"
        self._seed = wording_seed

    def tasks(self, split: Split, count: int | None = None) -> list[Task]:
        """The official test tasks, or the unseen ones, in a mixed order."""
        return [Task(name, self._tasks[name], self._is_repeated(name)) for name in self._names(split)[:count]]

    def reset(self, task: Task) -> "Ticket":
        """The ticket at its start."""
        return Ticket(self._face, task.source)

    def runs(self, of: Runs = "training") -> Iterator[Trajectory]:
        """The expert's runs of the problems that no held-out task has; or of a split's tasks."""
        chosen = self._training if of == "training" else [self._expert[name] for name in self._names(of)]
        for record in chosen:
            messages = [self._worded(record["id"], *pair) for pair in enumerate(record["messages"])]
            yield Trajectory(
                record["id"], problem(record["id"]), messages, record["success"], "scripted expert"
            )

    def _names(self, split: Split) -> list[str]:
        return shuffled(self._split["test"], self.name) if split == "test" else self._unseen

    def _worded(self, run: str, turn: int, message: Message) -> Message:
        if message["role"] != "assistant":
            return message
        thought, action = message["content"].removeprefix("Thought: ").split("\nAction: ")
        content = f"Thought: {varied(thought, run, turn, self._seed)}\nAction: {action}"
        return {"role": "assistant", "content": content}

    def _is_repeated(self, name: str) -> bool:
        return _conversation(self._expert[name]) in self._known

    @cached_property
    def _face(self) -> ModuleType:
        return load(self._folder / "tau2_telecom.py")

    @cached_property
    def _tasks(self) -> dict[str, Any]:
        with _inputs_left_open():
            return {task.id: task for task in self._face.tasks()}

    @cached_property
    def _split(self) -> dict[str, list[str]]:
        with _inputs_left_open():
            found: dict[str, list[str]] = self._face.split()
        return found

    @cached_property
    def _expert(self) -> dict[str, dict[str, Any]]:
        found = records(self._folder / "tau2_telecom_expert.jsonl.gz")
        return {record["id"]: record for record in found}

    @cached_property
    def _unseen(self) -> list[str]:
        """One task of each of `UNSEEN` problems of which the official test has none."""
        tested = {problem(name) for name in self._split["test"]}
        first = {problem(name): name for name in sorted(self._expert, reverse=True)}
        return [first[name] for name in shuffled(first.keys() - tested, self.name)[:UNSEEN]]

    @cached_property
    def _training(self) -> list[dict[str, Any]]:
        held_out = {problem(name) for name in [*self._split["test"], *self._unseen]}
        return [record for name, record in self._expert.items() if problem(name) not in held_out]

    @cached_property
    def _known(self) -> set[str]:
        return {_conversation(record) for record in self._training}


@contextmanager
def _inputs_left_open() -> Iterator[None]:
    """Python warns of files that tau2_telecom.py does not close; it is not part of the project."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        yield


def problem(name: str) -> str:
    """A task's name without the customer's persona."""
    return _PERSONA.sub("", name)


def _conversation(record: dict[str, Any]) -> str:
    return json.dumps(record["messages"])


def load(file: Path) -> ModuleType:
    """The module in `file`; SystemExit with one line if it or a package that it needs is absent."""
    spec = importlib.util.spec_from_file_location(file.stem, file)
    if not file.is_file() or spec is None or spec.loader is None:
        raise SystemExit(f"{file} is absent; --shared names the folder with tasks/ and environments/")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except (ImportError, AttributeError, TypeError, ValueError) as error:
        raise SystemExit(
            f"{file} cannot be loaded ({error}): pip install --no-deps inspect-evals==0.26.0 &&"
            " pip install pydantic toml pyyaml"
        ) from error
    return module


class Ticket:
    """One ticket."""

    def __init__(self, face: ModuleType, task: Any) -> None:
        self.opening = Opening(
            [{"role": "system", "content": POLICY}, {"role": "user", "content": task.ticket}]
        )
        self._face = face
        self._task = task
        self._environment = face.new_env(task)
        self._called: set[str] = set()

    def step(self, reply: str) -> Step:
        """Call the tool of the reply's action."""
        try:
            name, arguments = _call_of(reply)
        except ValueError as error:
            return _observed(f"Error: {error}")
        self._called.add(name)
        if name == "done":
            return Step(None, self._is_solved())
        try:
            answer, _ = self._face.call(self._environment, name, **arguments)
        except TypeError as error:  # an argument is called as one of this function's own; no tool has it
            answer = f"Error: {error}"
        return _observed(answer or "(no output)")

    def close(self) -> None:
        """Nothing is held."""

    def _is_solved(self) -> bool:
        criteria = self._task.evaluation_criteria
        counted = {str(getattr(basis, "value", basis)) for basis in criteria.reward_basis}
        wants_transfer = "ACTION" in counted and TRANSFER in {action.name for action in criteria.actions}
        transferred = TRANSFER in self._called or not wants_transfer
        return transferred and bool(self._face.success(self._environment, self._task))


def _observed(content: str) -> Step:
    return Step({"role": "user", "content": content})


def _call_of(reply: str) -> tuple[str, dict[str, Any]]:
    """The name and the arguments of a reply's action; ValueError if it has none."""
    found = _ACTION.search(reply)
    if found is None:
        raise ValueError("the turn has no line that begins with 'Action: '")
    try:
        call = json.loads(found[1])
        name, arguments = call["name"], call["arguments"]
    except (json.JSONDecodeError, KeyError, TypeError):
        raise ValueError('an action is {"name": ..., "arguments": {...}} in one line') from None
    if not isinstance(name, str) or not isinstance(arguments, dict):
        raise ValueError("a tool has a name and an object of arguments")
    return name, arguments
