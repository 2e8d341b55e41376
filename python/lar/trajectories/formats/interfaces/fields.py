"""The fields of a record around its conversation: the task, the outcome, the system's text, the tools."""

from collections.abc import Iterable
from typing import Any

from lar.trajectories.dialects.messages import is_message
from lar.trajectories.dialects.parts import text_in
from lar.trajectories.draft import first_solved
from lar.trajectories.raw import first_text, identifier
from lar.trajectories.schema import Message

MESSAGE_KEYS = (
    "messages",
    "conversation",
    "conversations",
    "trajectory",
    "traj",
    "history",
    "chat",
    "dialog",
)
TOOLS = ("tools", "functions", "tool_defs", "available_tools", "tool_definitions")
SYSTEM = ("system", "system_prompt", "system_message", "instructions")
_TASK_IDS = ("task_id", "instance_id", "problem_id", "question_id")
_RESULTS = ("success", "resolved", "reward")  # the second of SWE-smith and SWE-gym


def task_of(value: dict[str, Any]) -> str | None:
    """The task that a record names itself, or names by an id."""
    task = identifier(value.get("split_key")) or identifier(value.get("task"))
    if task:
        return task
    space = first_text((value.get("dataset"), value.get("benchmark"))) or "chat"
    for key in _TASK_IDS:
        name = identifier(value.get(key))
        if name is not None:
            return f"{space}/{name}"
    return None


def success_of(value: dict[str, Any]) -> bool | None:
    """Whether the run solved its task, as its record says."""
    return first_solved(map(value.get, _RESULTS))


def with_system(messages: list[Any], value: dict[str, Any]) -> list[Any]:
    """The messages after the system's text, where the record keeps it beside them."""
    if is_message(messages[0]) and messages[0].get("role", messages[0].get("from")) in (
        "system",
        "developer",
    ):
        return messages
    return [*system_turn(map(value.get, SYSTEM)), *messages]


def system_turn(values: Iterable[Any]) -> list[Message]:
    """The message of the system with the first text in `values`, as a list; empty without one."""
    text = next(filter(None, map(text_in, values)), "")
    return [{"role": "system", "content": text}] if text else []
