"""CrewAI: the outputs of a crew's tasks, and the log file of a crew.

An output of a task has its whole conversation in newer releases, and only the task and the answer in others.
"""

from typing import Any

from lar.errors import TrajectoryError
from lar.trajectories.dialects.messages import normalize_messages
from lar.trajectories.draft import Draft
from lar.trajectories.formats.base import Format
from lar.trajectories.formats.broken_parts import Attempts
from lar.trajectories.layouts.record import Record
from lar.trajectories.raw import dig, has, text_or_none

_Raw = dict[str, Any]


def _is_output(value: Any) -> bool:
    """Whether `value` is the output of a task."""
    return has(value, "description", "raw", "agent") and isinstance(value["raw"], str)


def _outputs(value: Any) -> list[_Raw]:
    """The outputs of tasks that a record holds."""
    if _is_output(value):
        return [value]
    listed = dig(value, "tasks_output")
    return [output for output in listed if _is_output(output)] if isinstance(listed, list) else []


def _is_crew(value: Any) -> bool:
    """Whether `value` is the output of a crew, also before its tasks are read."""
    return has(value, "raw", "pydantic", "json_dict")


def _read(record: Record) -> list[Draft]:
    return [_draft(_conversation(output), output.get("name")) for output in _outputs(record.value)]


def _draft(messages: list[_Raw], name: Any) -> Draft:
    task = text_or_none(name)
    return Draft(normalize_messages(messages), task=f"crewai/{task}" if task else None)


def _conversation(output: _Raw) -> list[_Raw]:
    messages: list[_Raw] = list(output.get("messages") or [])
    answer = {"role": "assistant", "name": output["agent"], "content": output["raw"]}
    if not messages:
        return [{"role": "user", "content": output["description"]}, answer]
    is_there = any(output["raw"] in str(message.get("content")) for message in messages[-1:])
    return messages if is_there or messages[-1].get("role") == "assistant" else [*messages, answer]


def _is_entry(value: Any) -> bool:
    """Whether `value` is an entry of a crew's log file: a task that began or ended."""
    return has(value, "timestamp", "task_name", "task", "agent", "status")


def _read_log(record: Record) -> list[Draft]:
    """Read the tasks that ended."""
    ended = [entry for entry in record.value if _is_entry(entry) and text_or_none(entry.get("output"))]
    if not ended:
        raise TrajectoryError("a log of a crew without a task that ended")
    attempts = Attempts("task")
    return attempts.reported(
        attempts.read(text_or_none(entry["task_name"]), entry, _of_task) for entry in ended
    )


def _of_task(entry: _Raw) -> Draft:
    asked = {"role": "user", "content": entry["task"]}
    answer = {"role": "assistant", "name": entry["agent"], "content": entry["output"]}
    return _draft([asked, answer], entry["task_name"])


CREWAI = Format(
    "crewai",
    "CrewAI outputs of crews and tasks",
    lambda value: bool(_outputs(value)) or _is_crew(value),
    _read,
)
LOG = Format("crewai_log", "CrewAI log files", _is_entry, _read_log, whole_file=True)
