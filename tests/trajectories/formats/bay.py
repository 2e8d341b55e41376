"""The conversation that the fixtures of tracers hold in their forms, and how it is read."""

from pathlib import Path
from typing import Any

from lar.trajectories import Report, Trajectory, read_trajectories

LOGS = Path(__file__).parent.parent / "logs"
SCHEMA = {"type": "object", "properties": {"bay": {"type": "integer"}}, "required": ["bay"]}
TOOLS = [
    {"type": "function", "function": {"name": "count", "description": "Count crates", "parameters": SCHEMA}}
]
SYSTEM = {"role": "system", "content": "You run a warehouse."}
ANSWER = {"role": "assistant", "content": "Twelve crates stand in bay 4."}


def user(bay: int = 4) -> dict[str, Any]:
    return {"role": "user", "content": f"How many crates stand in bay {bay}?"}


def call(arguments: str = '{"bay":4}', name: str | None = "c1") -> list[dict[str, Any]]:
    return [{"id": name, "type": "function", "function": {"name": "count", "arguments": arguments}}]


def turn(content: str = "I look.", arguments: str = '{"bay":4}', **fields: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": content, **fields, "tool_calls": call(arguments)}


def result(content: str = "12", **fields: Any) -> dict[str, Any]:
    return {"role": "tool", "content": content, **fields, "tool_call_id": "c1"}


def talk(**fields: Any) -> list[Any]:
    """The conversation; `fields` are further ones of the tool's result."""
    return [SYSTEM, user(), turn(), result(**fields), ANSWER]


def read(*path: str) -> tuple[list[Trajectory], Report]:
    """Read a fixture, strictly."""
    report = Report()
    return list(read_trajectories(LOGS.joinpath(*path), strict=True, report=report)), report


def only(*path: str) -> Trajectory:
    """Read a fixture that holds one trajectory."""
    (found,), _ = read(*path)
    return found
