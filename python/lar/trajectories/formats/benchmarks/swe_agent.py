"""SWE-agent's `.traj` and demonstration files, and mini-swe-agent's `.traj.json`.

Both name the task by the instance, and the same instance is the same task in both.
"""

import json
from typing import Any

from lar.errors import TrajectoryError
from lar.trajectories.dialects.messages import is_conversation, normalize_messages
from lar.trajectories.dialects.responses import has_calls, turns_of_items
from lar.trajectories.draft import Draft
from lar.trajectories.formats.base import Format
from lar.trajectories.layouts.record import Record
from lar.trajectories.raw import dig, first_object, has, identifier, text_or_none
from lar.trajectories.tasks import first_message_task

_EXIT = "Exit due to "


def _is_swe_agent(value: Any) -> bool:
    if has(value, "history") and is_conversation(value["history"]):
        return "agent" in value["history"][0] or has(value, "trajectory") or has(value, "replay_config")
    return has(value, "trajectory") and _is_steps(value["trajectory"])


def _is_steps(value: Any) -> bool:
    return has(first_object(value), "action", "observation", "response")


def _read_swe_agent(record: Record) -> list[Draft]:
    value = record.value
    raw = value["history"] if is_conversation(value.get("history")) else _from_steps(value.get("trajectory"))
    config = value.get("replay_config") or {}
    config = json.loads(config) if isinstance(config, str) else config
    name = _instance(value, config)
    said = _without_exit(list(map(_demonstrated, raw)), dig(value, "info", "exit_status"))
    return [
        Draft(
            normalize_messages(said),
            task=f"swe/{name}" if name else _task_without_demonstrations(raw),
            model=text_or_none(dig(config, "agent", "model", "name")),
        )
    ]


def _demonstrated(message: Any) -> Any:
    """The message; a turn of a demonstration is context, because another run wrote it."""
    is_demo = isinstance(message, dict) and message.get("is_demo")
    return {**message, "weight": 0} if is_demo else message


def _without_exit(messages: list[Any], status: Any) -> list[Any]:
    """The messages; where SWE-agent itself ended the run, it wrote the last turn, which then is context."""
    if not isinstance(status, str) or "exit_" not in status:
        return messages
    turns = [at for at, message in enumerate(messages) if message.get("role") == "assistant"]
    text = messages[turns[-1]].get("content") if turns else None
    if isinstance(text, str) and text.startswith(_EXIT):
        messages[turns[-1]] = {**messages[turns[-1]], "weight": 0}
    return messages


def _from_steps(steps: Any) -> list[dict[str, Any]]:
    """Make a history out of steps: the agent's response, then the observation."""
    if not _is_steps(steps):
        raise TrajectoryError("neither a history nor a trajectory of steps")
    return [
        message
        for step in steps
        for message in (
            {"role": "assistant", "content": step["response"]},
            {"role": "user", "content": step["observation"]},
        )
    ]


def _instance(value: dict[str, Any], config: Any) -> str | None:
    statement = dig(config, "problem_statement", "id")
    return identifier(value.get("instance_id")) or identifier(statement)


def _task_without_demonstrations(raw: list[Any]) -> str:
    """Name the task by the first user message that is no demonstration (every run has the same)."""
    return first_message_task(normalize_messages([message for message in raw if not message.get("is_demo")]))


def _is_mini_swe_agent(value: Any) -> bool:
    if not has(value, "messages") or not is_conversation(value["messages"]):
        return False
    layout = value.get("trajectory_format")
    is_named = isinstance(layout, str) and "mini-swe" in layout
    return is_named or dig(value, "info", "mini_version") is not None


def _mini_messages(messages: list[Any]) -> list[Any]:
    """The messages; with the Responses interface a turn of the agent is a whole response, without a role."""
    return turns_of_items(messages) if has_calls(messages) else messages


def _read_mini_swe_agent(record: Record) -> list[Draft]:
    value = record.value
    name = identifier(value.get("instance_id"))
    return [
        Draft(
            normalize_messages(_mini_messages(value["messages"])),
            task=f"swe/{name}" if name else None,
            model=text_or_none(dig(value, "info", "config", "model", "model_name")),
        )
    ]


SWE_AGENT = Format("swe_agent", "SWE-agent .traj and demonstration .yaml", _is_swe_agent, _read_swe_agent)
MINI_SWE_AGENT = Format(
    "mini_swe_agent", "mini-swe-agent .traj.json", _is_mini_swe_agent, _read_mini_swe_agent
)
