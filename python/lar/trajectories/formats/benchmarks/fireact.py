"""FireAct result files: an object of runs by question number, as messages or as one text."""

import re
from typing import Any

from lar.trajectories.dialects.messages import normalize_messages
from lar.trajectories.draft import Draft, solved
from lar.trajectories.formats.base import Format
from lar.trajectories.formats.benchmarks.react import split_turns
from lar.trajectories.layouts.record import Record
from lar.trajectories.raw import has
from lar.trajectories.tasks import question_task

_INSTRUCTION = re.compile(r"### Instruction:\n(.*?)\n\n### Response:", re.DOTALL)


def _read(record: Record) -> list[Draft]:
    value = record.value
    told = value["traj"]
    messages = normalize_messages(split_turns(told) if isinstance(told, str) else told)
    first = messages[0]["content"]
    instruction = _INSTRUCTION.search(first)
    return [
        Draft(
            messages,
            task=question_task(instruction.group(1) if instruction else first.removeprefix("Question:")),
            success=solved(value.get("em")),
        )
    ]


def _recognises(value: Any) -> bool:
    return has(value, "traj", "em", "pred") and isinstance(value["traj"], list | str)


FORMAT = Format("fireact", "FireAct result file", _recognises, _read)
