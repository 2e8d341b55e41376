"""What a trajectory is, here and on disk."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, NotRequired, TypedDict

import pyarrow as pa

Role = Literal["system", "user", "assistant", "tool"]
ROLES: tuple[Role, ...] = ("system", "user", "assistant", "tool")

Tool = dict[str, Any]
"""The JSON schema of one tool, as OpenAI's chat format has it; the schemas of tools have no common shape."""


class Function(TypedDict):
    """What a tool call calls: `arguments` is the JSON text that the agent wrote, character for character."""

    name: str
    arguments: str


class ToolCall(TypedDict):
    """One call of a tool, as OpenAI's chat format has it. `id` is None where the source has none."""

    id: str | None
    type: Literal["function"]
    function: Function


class Message(TypedDict):
    """One message as OpenAI's chat format has it, normalized. An absent key is absent, never None.

    `content` is a string, empty where the agent only called tools. `reasoning_content` is the agent's
    thinking, where the source keeps it apart from the content. `weight` is 0 where the log excludes a turn of
    the agent from training: it is context then, and not counted as the agent's.

    >>> message: Message = {"role": "user", "content": "How warm is it in Oslo?"}
    """

    role: Role
    content: str
    name: NotRequired[str]
    tool_call_id: NotRequired[str]
    reasoning_content: NotRequired[str]
    tool_calls: NotRequired[list[ToolCall]]
    weight: NotRequired[int]


@dataclass(frozen=True, slots=True, repr=False)
class Trajectory:
    """One run of an agent at one task; several attempts at a task share its name.

    id: the run's name. task: what support and splits count by. messages: the conversation, normalized where
    the trajectory was read; a corpus normalizes what a program made. success: whether the task was solved,
    None where nobody measured it. model and source: the model that wrote it and where it was read. tools: the
    tools that the agent was offered. `len` is the number of messages, iteration gives them.

    >>> run = Trajectory("run-1", "weather/oslo", [{"role": "user", "content": "How warm is it?"}])
    >>> run
    Trajectory(id='run-1', task='weather/oslo', 1 message)
    >>> [message["role"] for message in run]
    ['user']
    """

    id: str
    task: str
    messages: list[Message]
    success: bool | None = None
    model: str | None = None
    source: str | None = None
    tools: list[Tool] | None = None

    def __len__(self) -> int:
        return len(self.messages)

    def __iter__(self) -> Iterator[Message]:
        return iter(self.messages)

    def __hash__(self) -> int:
        return hash((self.id, self.task, len(self.messages)))  # the messages are dicts, which have no hash

    def __repr__(self) -> str:
        count = "1 message" if len(self) == 1 else f"{len(self)} messages"
        success = "" if self.success is None else f", success={self.success}"
        return f"Trajectory(id={self.id!r}, task={self.task!r}, {count}{success})"

    def to_dict(self) -> dict[str, Any]:
        """The trajectory as JSON-ready values, with the columns of `PARQUET_SCHEMA` in their order."""
        return {name: getattr(self, name) for name in PARQUET_SCHEMA.names}


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
        ("weight", pa.int8()),
    ]
)
PARQUET_SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("task", pa.string()),
        ("success", pa.bool_()),
        ("model", pa.string()),
        ("source", pa.string()),
        ("tools", pa.string()),  # JSON text, see `Tool`
        ("messages", pa.list_(_MESSAGE)),
    ]
)
