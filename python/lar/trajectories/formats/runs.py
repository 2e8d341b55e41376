"""What the formats of whole runs share: turns of the agent, names of tasks, and whether they were solved."""

import re
from collections.abc import Iterable
from typing import Any

from lar.trajectories.draft import first_solved
from lar.trajectories.raw import dig, has, identifier, text_or_none

# SWE-bench's names of instances: owner__repository-number.
_INSTANCE = re.compile(r"[\w.-]+__[\w.-]+-\d+")
# Where evaluations write the outcome.
_REWARDS = (
    ("resolved",),
    ("report", "resolved"),
    ("test_result", "report", "resolved"),
    ("test_result", "resolved"),
    ("test_result", "result", "passed"),
    ("test_result", "result"),
    ("test_result", "score"),
    ("success",),
)


def has_agent(raw: Iterable[dict[str, Any]]) -> bool:
    """Whether one of the raw messages is a turn of the agent."""
    return any(message["role"] == "assistant" for message in raw)


def add_calls(raw: list[dict[str, Any]], calls: list[Any]) -> None:
    """Put calls that a log has apart into the turn at the end of `raw`, or into a turn of their own."""
    if raw and raw[-1]["role"] == "assistant":
        raw[-1] = {**raw[-1], "tool_calls": [*(raw[-1].get("tool_calls") or ()), *calls]}
    else:
        raw.append({"role": "assistant", "content": "", "tool_calls": calls})


def swe_task(name: Any, space: str) -> str | None:
    """The task called `name` of `space`; an instance of SWE-bench has the same name in every format."""
    text = identifier(name)
    if text is None:
        return None
    return f"swe/{text}" if _INSTANCE.fullmatch(text) else f"{space}/{text}"


def task_of(value: dict[str, Any]) -> str | None:
    """The task of an evaluation's record: its instance, or the issue that was resolved."""
    issue: Any = value.get("issue")
    if has(issue, "owner", "repo", "number"):
        return f"swe/{issue['owner']}__{issue['repo']}-{issue['number']}"
    dataset = text_or_none(dig(value, "metadata", "dataset")) or "openhands"
    return swe_task(value.get("instance_id"), dataset.rpartition("/")[2])


def success_of(value: dict[str, Any]) -> bool | None:
    """Whether the run solved its task, as an evaluation found."""
    return first_solved(dig(value, *path) for path in _REWARDS)
