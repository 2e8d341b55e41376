"""Short notations for the expected trajectories of logs in `tests/trajectories/logs`."""

import json
from pathlib import Path
from typing import Any

from lar.trajectories import Message, Trajectory, read_trajectories
from lar.trajectories.report import Report

LOGS = Path(__file__).parent.parent / "tests" / "trajectories" / "logs"


def read(path: Path, **options: Any) -> tuple[list[Trajectory], Report]:
    """The trajectories of a file or folder, and the report on them."""
    report = Report()
    return list(read_trajectories(path, report=report, **options)), report


def write_lines(path: Path, entries: list[Any]) -> Path:
    """Write `entries`, one a line."""
    path.write_text("".join(json.dumps(entry) + "\n" for entry in entries), encoding="utf-8")
    return path


def user(content: str) -> Message:
    """A message of the user."""
    return {"role": "user", "content": content}


def agent(content: str = "", *calls: Any, **fields: Any) -> Message:
    """A turn of the agent; `fields` are further keys, `thought` is its reasoning."""
    thought = fields.pop("thought", None)
    message: Any = {"role": "assistant", "content": content, **fields}
    if thought is not None:
        message["reasoning_content"] = thought
    if calls:
        message["tool_calls"] = list(calls)
    return message


def call(name: str, arguments: str, identifier: str | None = None) -> Any:
    """A tool call with its arguments as text."""
    return {"id": identifier, "type": "function", "function": {"name": name, "arguments": arguments}}


def result(content: str, name: str | None = None, identifier: str | None = None) -> Message:
    """A tool's result."""
    message: Message = {"role": "tool", "content": content}
    if name is not None:
        message["name"] = name
    if identifier is not None:
        message["tool_call_id"] = identifier
    return message
