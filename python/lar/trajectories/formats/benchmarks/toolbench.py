"""ToolBench: answer files (a search tree with its chains of messages) and tooleval's converted answers."""

import ast
import json
from typing import Any

from lar.errors import TrajectoryError
from lar.trajectories.dialects.messages import normalize_messages
from lar.trajectories.dialects.tools import parse_tools
from lar.trajectories.draft import Draft
from lar.trajectories.formats.base import Format
from lar.trajectories.layouts.record import Record
from lar.trajectories.raw import has
from lar.trajectories.tasks import question_task

_WINS = {"give_answer": True, "give_up": False}


def _read(record: Record) -> list[Draft]:
    return _read_tree(record.value) if "answer_generation" in record.value else _read_converted(record.value)


def _read_tree(value: dict[str, Any]) -> list[Draft]:
    """Read the last chain of a tree, the one that was answered from."""
    answer = value["answer_generation"]
    chains = [chain for chain in answer.get("train_messages") or [] if chain]
    if not chains:
        raise TrajectoryError("answer_generation without train_messages")
    return [
        Draft(
            normalize_messages(chains[-1]),
            task=question_task(answer["query"]),
            success=_WINS.get(answer.get("finish_type")),
            tools=parse_tools(answer.get("function")),
        )
    ]


def _read_converted(value: dict[str, Any]) -> list[Draft]:
    """Follow the last branch of the answer's tree from its root."""
    raw: list[dict[str, Any]] = []
    nodes = value["answer"]["answer_details"]
    while nodes:
        raw += _messages(nodes[-1])
        nodes = nodes[-1].get("next")
    return [
        Draft(
            normalize_messages(raw),
            task=question_task(value["query"]),
            tools=parse_tools(value.get("available_tools")),
        )
    ]


def _messages(node: dict[str, Any]) -> list[dict[str, Any]]:
    """Read a node; a tool's holds the agent's call and the tool's answer together."""
    role, told = node["role"], node.get("message")
    if role != "tool":
        return [{"role": role, "content": told}] if told else []
    call = _call(told)
    messages: list[dict[str, Any]] = [{"role": "assistant", "content": "", "tool_calls": [call]}]
    if call.get("response"):
        messages.append({"role": "tool", "name": call["name"], "content": call["response"]})
    return messages


def _call(told: Any) -> dict[str, Any]:
    """Read a call with its answer: an object, or its text in JSON or in Python's notation."""
    if isinstance(told, str):
        try:
            told = json.loads(told)
        except ValueError:
            try:
                told = ast.literal_eval(told)
            except (ValueError, SyntaxError, MemoryError):
                raise TrajectoryError(
                    "a tool's message is neither JSON nor a Python literal (cut off?)"
                ) from None
    if not has(told, "name"):
        raise TrajectoryError("a tool's message without the name of the tool")
    call: dict[str, Any] = told
    return call


def _recognises(value: Any) -> bool:
    if has(value, "answer_generation"):
        return has(value["answer_generation"], "query")
    return has(value, "query", "answer") and has(value["answer"], "answer_details")


FORMAT = Format(
    "toolbench",
    "ToolBench answers and tooleval files",
    _recognises,
    _read,
    # The search tree and its other branches.
    unwanted=(
        "compare_candidates[][].observation(json).response",
        "tree.tree.children[].children[].observation(json).response",
    ),
)
