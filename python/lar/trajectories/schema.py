"""What a trajectory is, here and on disk."""

from dataclasses import dataclass
from typing import Any

import pyarrow as pa

Message = dict[str, Any]
"""One message as OpenAI's chat format has it, normalised.

`role` is one of `ROLES` and `content` a string, never None. Where the source has them: `tool_calls`
(`[{"id": str | None, "type": "function", "function": {"name": str, "arguments": str}}]`, arguments verbatim),
`name`, `tool_call_id` and `reasoning_content`. A key is absent rather than None.
"""

ROLES = ("system", "user", "assistant", "tool")


@dataclass(frozen=True, slots=True)
class Trajectory:
    """One run of an agent at one task; several attempts at a task share its name."""

    id: str
    task: str
    messages: list[Message]
    success: bool | None = None
    model: str | None = None
    source: str | None = None
    tools: list[dict[str, Any]] | None = None


_CALL = pa.struct(
    [("id", pa.string()), ("type", pa.string()), ("name", pa.string()), ("arguments", pa.string())]
)
_MESSAGE = pa.struct(
    [
        ("role", pa.string()),
        ("content", pa.string()),
        ("name", pa.string()),
        ("tool_call_id", pa.string()),
        ("reasoning_content", pa.string()),
        ("tool_calls", pa.list_(_CALL)),
    ]
)
PARQUET_SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("task", pa.string()),
        ("success", pa.bool_()),
        ("model", pa.string()),
        ("source", pa.string()),
        ("tools", pa.string()),  # JSON: the schemas of tools have no common shape
        ("messages", pa.list_(_MESSAGE)),
    ]
)
