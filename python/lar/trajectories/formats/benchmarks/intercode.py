"""InterCode result files: an object of runs by number, each with the lists of its turns."""

from itertools import zip_longest
from typing import Any

from lar.trajectories.dialects.messages import normalize_messages
from lar.trajectories.draft import Draft, solved
from lar.trajectories.formats.base import Format
from lar.trajectories.layouts.record import Record
from lar.trajectories.raw import has
from lar.trajectories.tasks import question_task


def _read(record: Record) -> list[Draft]:
    """With thoughts the agent wrote ReAct (`Thought 1: ... Action 1: ...`), without them the bare action."""
    value = record.value
    turns = value["turn_history"]
    thoughts = turns.get("thoughts")
    raw = [{"role": "user", "content": value["query"]}]
    for number, (action, observation) in enumerate(
        zip_longest(turns["actions"], turns["observations"]), start=1
    ):
        if action is not None:
            thought = thoughts[number - 1] if thoughts is not None else None
            raw.append({"role": "assistant", "content": _said(number, thought, action)})
        if observation is not None:
            shown = observation if thoughts is None else f"Observation {number}: {observation}"
            raw.append({"role": "user", "content": shown})
    environment = str(value.get("environment") or "unknown").removeprefix("ic_")
    return [
        Draft(
            normalize_messages(raw),
            task=f"intercode/{environment}/{question_task(value['query'])}",
            success=solved((value.get("summary") or {}).get("max_reward")),
        )
    ]


def _said(number: int, thought: Any, action: str) -> str:
    return action if thought is None else f"Thought {number}: {thought}\nAction {number}: {action}"


def _recognises(value: Any) -> bool:
    return has(value, "query", "turn_history") and has(value["turn_history"], "actions", "observations")


FORMAT = Format("intercode", "InterCode result file", _recognises, _read)
