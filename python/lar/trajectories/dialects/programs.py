"""Calls that a program of the model makes, and their results: the model writes neither and reads neither.

In Anthropic's programmatic tool calling the model writes a program, which is a call of its own
(`code_execution`). What the program then calls stands in the log as calls of the model (`caller`).
"""

from typing import Any

from lar.trajectories.dialects.calls import is_of_program
from lar.trajectories.dialects.parts import object_parts


def without_program_calls(messages: list[Any]) -> list[Any]:
    """`messages` without such calls and results; a message that holds nothing else is left out."""
    parts = (part for message in messages for part in object_parts(message))
    ids = {part.get("id") for part in parts if is_of_program(part)} - {None}
    if not ids:
        return messages
    kept = (_without(message, ids) for message in messages)
    return [message for message in kept if message is not None]


def _without(message: Any, ids: set[Any]) -> Any:
    """The message without the calls `ids` and their results; None where nothing is left of it."""
    dropped = [
        part for part in object_parts(message) if is_of_program(part) or part.get("tool_use_id") in ids
    ]
    if not dropped:
        return message
    kept = [part for part in message["content"] if not any(part is one for one in dropped)]
    return {**message, "content": kept} if kept else None
