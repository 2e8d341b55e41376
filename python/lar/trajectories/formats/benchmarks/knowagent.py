"""KnowAgent's trajectories: HotpotQA (ReAct with action paths) and ALFWorld (`> go to shelf 1`)."""

import re
from typing import Any

from lar.errors import TrajectoryError
from lar.trajectories.dialects.messages import normalize_messages
from lar.trajectories.draft import Draft
from lar.trajectories.formats.base import Format
from lar.trajectories.formats.benchmarks.react import split_turns
from lar.trajectories.formats.runs import has_agent
from lar.trajectories.layouts.record import Record
from lar.trajectories.raw import has
from lar.trajectories.tasks import question_task

_LINE = re.compile(r"[^\n]*\n|[^\n]+")
_EXAMPLES = re.compile(r"^\(END OF EXAMPLES\)\n", re.MULTILINE)


def _read(record: Record) -> list[Draft]:
    return _read_question(record.value) if "prompt" in record.value else _read_household(record.value)


def _read_question(value: dict[str, Any]) -> list[Draft]:
    """Give the system the instructions and examples that the prompt begins with."""
    end = _EXAMPLES.search(value["prompt"])
    start = end.end() if end else 0
    raw = [{"role": "system", "content": value["prompt"][:start]}] if end else []
    correct = value.get("correct")
    return [
        Draft(
            normalize_messages(raw + split_turns(value["prompt"][start:])),
            task=question_task(value["question"]),
            success=correct if isinstance(correct, bool) else None,
        )
    ]


def _read_household(value: dict[str, Any]) -> list[Draft]:
    """Give the agent the lines that begin with ">"; the trial in the name is an attempt at its task."""
    raw: list[dict[str, str]] = []
    for line in _LINE.findall(value["traj"]):
        role = "assistant" if line.startswith(">") else "user"
        if raw and raw[-1]["role"] == role:
            raw[-1]["content"] += line
        else:
            raw.append({"role": role, "content": line})
    if not has_agent(raw):
        raise TrajectoryError("no line of the agent's (none begins with >)")
    result = value.get("result")
    return [
        Draft(
            normalize_messages(raw),
            task=f"alfworld/{str(value['name']).split('/')[0]}",
            success=bool(result) if isinstance(result, bool | int) else None,
        )
    ]


def _recognises(value: Any) -> bool:
    if has(value, "question", "prompt", "correct"):
        return isinstance(value["prompt"], str)
    return has(value, "name", "result", "traj") and isinstance(value["traj"], str)


FORMAT = Format(
    "knowagent",
    "KnowAgent trajectories (HotpotQA, ALFWorld)",
    _recognises,
    _read,
    unwanted=("answer",),  # the right one, not the agent's
)
