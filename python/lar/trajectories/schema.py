"""What one run of an agent at one task looks like."""

from dataclasses import dataclass
from typing import Any

Message = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Trajectory:
    """One run of an agent at one task: messages of the roles system, user, assistant, tool."""

    id: str
    task: str
    messages: list[Message]
    success: bool | None = None
    model: str | None = None
    source: str | None = None
    tools: list[dict[str, Any]] | None = None
