"""Programming problems: the agent writes and runs programs in a sandbox, then answers with one.

A turn with `<execute>program</execute>` runs it and reads what it printed between `<result>` and `</result>`.
A turn with `<answer>program</answer>` ends the episode; success means that the task's tests pass. A fence of
Markdown around a program is left out. Nothing keeps state between two programs.

Two sets: `kodcode` (CC BY-NC 4.0: only figures of it may be shown) and `mbpp`. Two of five questions of
KodCode do not name the function that its tests call, so the prompt does; for MBPP it shows the first test, as
its authors do. Near copies among the problems and in a model's training data were not looked for.
"""

import re
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from benches.agents.sandbox import DEFAULT_LIMITS, Limits, Outcome, check_available, run_python
from benches.agents.worlds.data import records, shuffled
from benches.agents.worlds.world import Opening, Runs, Split, Step, Task
from lar.trajectories import Message, Trajectory

Problems = Literal["kodcode", "mbpp"]
HELD_OUT = {"kodcode": {"test": 30, "unseen": 30}, "mbpp": {"test": 200, "unseen": 100}}  # problems

POLICY = (
    "Solve the programming problem in Python. Think first. To try something, write a program between"
    " <execute> and </execute>; you then read what it prints. When you are sure, write the whole solution"
    " between <answer> and </answer>."
)

_EXECUTE = re.compile(r"<execute>(.*?)</execute>", re.DOTALL)
_ANSWER = re.compile(r"<answer>(.*?)</answer>", re.DOTALL)
_FENCE = re.compile(r"\A\s*```[a-z]*\n(.*?)\n?```\s*\Z", re.DOTALL)
_NEITHER = "This turn has neither <execute> nor <answer>. Write one of them."


class Code:
    """The world of the problems of one set. `shared` holds tasks/kodcode and tasks/mbpp."""

    splits: tuple[Split, ...] = ("test", "unseen")
    max_turns = 6

    def __init__(self, shared: Path, problems: Problems, limits: Limits = DEFAULT_LIMITS) -> None:
        check_available()
        self.name = f"code_{problems}"
        self._folder = shared / "tasks" / problems
        self._counts = HELD_OUT[problems]
        self._limits = limits

    def tasks(self, split: Split, count: int | None = None) -> list[Task]:
        """The tasks of the split's problems; two tasks may ask for one problem in two ways."""
        found = [record for name in self._names(split) for record in self._problems[name]]
        return [Task(record["id"], record) for record in found[:count]]

    def reset(self, task: Task) -> "Problem":
        """The problem at its start."""
        return Problem(task.source, self._limits)

    def runs(self, of: Runs = "training") -> Iterator[Trajectory]:
        """A gold solution of each problem, as one answer; none of them thinks or tries anything."""
        for name in self._names(of):
            for record in self._problems[name]:
                solution: Message = {
                    "role": "assistant",
                    "content": f"<answer>\n{record['solution']}\n</answer>",
                }
                messages = [*Problem(record, self._limits).opening.messages, solution]
                yield Trajectory(record["id"], name, messages, success=True, model="gold solution")

    def _names(self, of: Runs) -> list[str]:
        test, held_out = self._counts["test"], sum(self._counts.values())
        ranges = {"test": (0, test), "unseen": (test, held_out), "training": (held_out, None)}
        return self._order[slice(*ranges[of])]

    @cached_property
    def _problems(self) -> dict[str, list[dict[str, Any]]]:
        found: dict[str, list[dict[str, Any]]] = {}
        for record in records(self._folder / "tasks.jsonl.gz"):
            found.setdefault(record["split_key"], []).append(record)
        return found

    @cached_property
    def _order(self) -> list[str]:
        return shuffled(self._problems, self.name)


class Problem:
    """One problem."""

    def __init__(self, record: dict[str, Any], limits: Limits) -> None:
        self._record = record
        self._limits = limits
        self.opening = Opening(
            [{"role": "system", "content": POLICY}, {"role": "user", "content": _question(record)}]
        )

    def step(self, reply: str) -> Step:
        """Run the program, or test the answer."""
        if answers := _ANSWER.findall(reply):
            return Step(None, self.solves(_without_fence(answers[-1])))
        program = _EXECUTE.search(reply)
        if program is None:
            return Step({"role": "user", "content": _NEITHER})
        outcome = run_python(_without_fence(program[1]), self._limits)
        return Step({"role": "user", "content": f"<result>\n{_printed(outcome, self._limits)}\n</result>"})

    def solves(self, answer: str) -> bool:
        """Whether the tests pass with a program."""
        record = self._record
        program = f"{record['preamble']}{answer}\n\n{record['tests']}\n{record['call']}\n"
        module = ("pytest", "-q", "-p", "no:cacheprovider") if record["needs_pytest"] else ()
        return run_python(program, self._limits, module).exit_code == 0

    def close(self) -> None:
        """Nothing is held."""


def _question(record: dict[str, Any]) -> str:
    hint = (
        f"Your code should pass this test:\n{record['tests'].splitlines()[0]}"
        if record["id"].startswith("mbpp/")
        else f"The tests call it `{record['entry_point']}`."
    )
    return f"{record['question'].rstrip()}\n\n{hint}"


def _without_fence(program: str) -> str:
    fenced = _FENCE.match(program)
    return fenced[1] if fenced else program.strip("\n")


def _printed(outcome: Outcome, limits: Limits) -> str:
    late = [f"(stopped after {limits.seconds:g} s)"] if outcome.exit_code is None else []
    return "\n".join([*filter(None, [outcome.output.rstrip()]), *late]) or "(no output)"
