"""OpenAI chat in its many wrappings, and the package's own records.

Read are `{"messages": [...]}` with or without tools (fine-tuning lines too, calls as `tool_calls` or as
`function_call`), a bare list of messages, request and response as a proxy logs them, prompt and completion,
and the package's own fields (`id, task, success, model, source, tools, messages`, with `split_key` before
`task`).
"""

import json
from typing import Any

from lar.errors import TrajectoryError
from lar.trajectories.draft import Draft, solved, text_or_none
from lar.trajectories.formats.base import Format, has
from lar.trajectories.json_stream import Record
from lar.trajectories.messages import is_conversation, normalize_messages
from lar.trajectories.schema import Tool

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
TASK_IDS = ("task_id", "instance_id", "problem_id", "question_id")


def _find_messages(value: Any) -> list[Any] | None:
    """Find the raw messages of a record, wherever this wrapping keeps them."""
    messages = _spoken(value)
    if messages is not None or not isinstance(value, dict):
        return messages
    for key in ("request", "body", "input", "kwargs"):
        if (messages := _spoken(value.get(key))) is not None:
            return messages
    prompt, completion = _spoken(value.get("prompt")), _spoken(value.get("completion"))
    return None if prompt is None or completion is None else prompt + completion


def _spoken(value: Any) -> list[Any] | None:
    if isinstance(value, dict):
        value = next((value[key] for key in MESSAGE_KEYS if is_conversation(value.get(key))), None)
    return list(value) if is_conversation(value) else None


def _reply(value: dict[str, Any]) -> list[Any]:
    """Find what the model answered, where the record keeps it apart from the request."""
    response = value.get("response", value.get("output"))
    if isinstance(response, dict):
        body = response.get("body")
        return _choice(body if isinstance(body, dict) else response)
    return _choice(value)


def _choice(response: dict[str, Any]) -> list[Any]:
    choices = response.get("choices")
    first = choices[0] if isinstance(choices, list) and choices else None
    message = first.get("message") if isinstance(first, dict) else None
    return [message] if isinstance(message, dict) else []


def _task(value: dict[str, Any]) -> str | None:
    task = text_or_none(value.get("split_key")) or text_or_none(value.get("task"))
    if task:
        return task
    space = text_or_none(value.get("dataset")) or text_or_none(value.get("benchmark")) or "chat"
    for key in TASK_IDS:
        identifier = value.get(key)
        if isinstance(identifier, str | int) and identifier != "":
            return f"{space}/{identifier}"
    return None


def parse_tools(value: Any) -> list[Tool] | None:
    """Read the tools' schemas, given as a list or as its JSON text."""
    if isinstance(value, str) and value:
        value = json.loads(value)
    if not isinstance(value, list):
        return None
    if not all(isinstance(tool, dict) for tool in value):
        raise TrajectoryError("tools is not a list of objects")
    return value


def _read(record: Record) -> Draft:
    value = record.value
    raw = _find_messages(value)
    if raw is None:
        normalize_messages(
            value.get("messages") if isinstance(value, dict) else value
        )  # raises the exact error
        raise TrajectoryError("no list of messages with role and content")
    if not isinstance(value, dict):
        return Draft(normalize_messages(raw))
    messages = normalize_messages(raw + _reply(value))
    inner = next((value[key] for key in ("request", "body") if isinstance(value.get(key), dict)), value)
    success = value.get("success")
    return Draft(
        messages,
        id=text_or_none(value.get("id")),
        task=_task(value),
        success=success if isinstance(success, bool) else solved(value.get("reward")),
        model=text_or_none(inner.get("model")),
        source=text_or_none(value.get("source")),
        keep_source="source" in value,
        tools=parse_tools(inner.get("tools") or inner.get("functions")),
    )


FORMAT = Format(
    "chat",
    "OpenAI chat, and the package's own JSONL and Parquet",
    lambda value: (
        _find_messages(value) is not None or (has(value, "messages") and isinstance(value["messages"], list))
    ),
    _read,
)
