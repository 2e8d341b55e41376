"""Result files of tau-bench (a list of runs) and tau2-bench (one object with its simulations)."""

import re
from typing import Any

from lar.errors import TrajectoryError
from lar.trajectories.dialects.messages import is_conversation, normalize_messages
from lar.trajectories.dialects.tools import parse_tools
from lar.trajectories.draft import Draft, solved
from lar.trajectories.formats.base import Format
from lar.trajectories.layouts.record import Record
from lar.trajectories.raw import dig, has, identifier, text_or_none
from lar.trajectories.schema import Message

_POLICY = re.compile(r"^#\s*(\w+)\s+agent\s+policy", re.IGNORECASE | re.MULTILINE)
_GREETING = "Hi! How can I help you today?"  # tau2 writes it before the agent has a turn
_PERSONA = re.compile(r"\[PERSONA:[^\]]*\]$")


def _read_tau_bench(record: Record) -> list[Draft]:
    value = record.value
    messages = normalize_messages(value["traj"])
    task = f"tau_bench/{_domain(messages)}/{value['task_id']}"
    return [Draft(messages, task=task, success=solved(value.get("reward")))]


def _domain(messages: list[Message]) -> str:
    """Find the domain, which only the policy's title contains ("# Airline Agent Policy")."""
    title = _POLICY.search(messages[0]["content"])
    return title.group(1).lower() if title else "unknown"


def _read_tau2(record: Record) -> list[Draft]:
    """Read a simulation; the policy in the file's `info` does not become a message.

    A turn of the agent that no model wrote (tau2's greeting) is context: others have their usage beside them.
    """
    value, info = record.value, record.context.get("info")
    environment = dig(info, "environment_info")
    if "task_id" not in value:
        raise TrajectoryError("a simulation without task_id")
    # The persona is the simulated user's: the same task in another tone.
    task = _PERSONA.sub("", str(value["task_id"]))
    return [
        Draft(
            normalize_messages(_without_loss(_of_the_agent(value["messages"]))),
            id=identifier(value.get("id")),
            task=f"tau2/{dig(environment, 'domain_name') or 'unknown'}/{task}",
            success=solved(dig(value, "reward_info", "reward")),
            model=text_or_none(dig(info, "agent_info", "llm")),
            tools=parse_tools(dig(environment, "tool_defs")),
        )
    ]


def _of_the_agent(messages: Any) -> Any:
    """The messages without the calls of the simulated user and their results, which the agent never reads."""
    if not isinstance(messages, list):
        return messages
    return [message for message in map(_without_calls_of_the_user, messages) if message is not None]


def _without_calls_of_the_user(message: Any) -> Any:
    """The message without the user's own calls; None where nothing is left of it."""
    if not isinstance(message, dict):
        return message
    if message.get("role") == "tool":
        return None if message.get("requestor") == "user" else message
    if message.get("role") != "user" or not message.get("tool_calls"):
        return message
    return {**message, "tool_calls": None} if message.get("content") else None


def _without_loss(messages: Any) -> Any:
    """The messages; a turn of the agent that no model wrote is context."""
    if not isinstance(messages, list):
        return messages
    recorded = any(map(_is_recorded, messages))
    return [
        {**message, "weight": 0}
        if has(message, "role")
        and message["role"] == "assistant"
        and ((recorded and not _is_recorded(message)) or (at == 0 and message.get("content") == _GREETING))
        else message
        for at, message in enumerate(messages)
    ]


def _is_recorded(message: Any) -> bool:
    """Whether a turn of the agent has what its model's provider sent beside it."""
    if not has(message, "role") or message["role"] != "assistant":
        return False
    return message.get("usage") is not None or message.get("raw_data") is not None


TAU_BENCH = Format(
    "tau_bench",
    "tau-bench result file",
    lambda value: has(value, "task_id", "traj", "info") and is_conversation(value["traj"]),
    _read_tau_bench,
)
TAU2 = Format(
    "tau2",
    "tau2-bench result file",
    lambda value: (
        has(value, "task_id", "messages") and ("reward_info" in value or "termination_reason" in value)
    ),
    _read_tau2,
)
