"""Plain lines of OpenAI chat logs -> encoded trajectories, by the Rust core.

What the core makes of them is what `read_record` makes, without an object for each message. All other lines
are left to that.
"""

import json
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lar._core import read_chat_lines
from lar.trajectories import buffers
from lar.trajectories.dialects.tools import parse_tools
from lar.trajectories.formats.interfaces import chat
from lar.trajectories.layouts.json_stream import decode_line
from lar.trajectories.openings import OPENING
from lar.trajectories.report import Report
from lar.trajectories.schema import PARQUET_SCHEMA, Message
from lar.trajectories.tasks import first_message_task

_MESSAGES = PARQUET_SCHEMA.field("messages").type
_CALLS = _MESSAGES.value_type.field("tool_calls").type


class ChatLines:
    """The plain lines of a block, n trajectories, and the lines that are not plain.

    The block is whole lines of a file called `label`; its first line is line `first_line` there, and record
    `first_number` where it is not blank.

    numbers, lines, lengths and characters: int64 (n), the place of each trajectory, its messages and the
    length of their text. tasks: its task. openings: OPENING (n).
    """

    def __init__(self, data: bytes, label: str, first_line: int, first_number: int) -> None:
        self._data = data
        self._texts, self._numbers, self._agent = read_chat_lines(data, label, first_line, first_number)
        self.numbers, self.lines = self._numbers["number"], self._numbers["line"]
        self.lengths: NDArray[np.int64] = np.diff(self._numbers["messages"]).astype(np.int64)
        self.characters = self._numbers["characters"]
        self.openings = _openings(self._numbers["opening"])
        self._roles, self._contents = self._column("role"), self._column("content")
        self.tasks = self._named_tasks()

    def __len__(self) -> int:
        return len(self.numbers)

    def other_lines(self) -> Iterator[tuple[bytes, int, int]]:
        """Yield each line that is not plain, with its number and that of its record."""
        for line, number, start, end in self._numbers["other"].reshape(-1, 4).tolist():
            yield self._data[start:end], line, number

    def count(self, report: Report) -> None:
        """Count the trajectories in `report`."""
        counts = report.counts(chat.FORMAT.name)
        turns, calls, characters = self._agent
        counts.records += len(self)
        counts.trajectories += len(self)
        counts.agent_turns += turns
        counts.calls += calls
        counts.agent_characters += characters

    @property
    def turns(self) -> NDArray[np.int64]:
        """The agent's turns of each trajectory, int64 (n)."""
        roles = self._roles.dictionary_encode()
        agent = roles.dictionary.to_pylist().index("assistant")  # each plain line has a turn of the agent
        is_said = (np.diff(self._texts["content"][0]) > 0) | (np.diff(self._numbers["calls"]) > 0)
        spoken = (roles.indices.to_numpy() == agent) & is_said
        before: NDArray[np.int64] = np.append(0, np.cumsum(spoken))
        turns: NDArray[np.int64] = np.diff(before[self._numbers["messages"]])
        return turns

    @property
    def success(self) -> pa.Array:
        """Whether each run solved its task."""
        success = self._numbers["success"]
        return buffers.flags(success == 1, success >= 0)

    def batch(self) -> pa.RecordBatch:
        """The trajectories as rows of `PARQUET_SCHEMA`."""
        columns = {
            **{name: self._column(name) for name in ("id", "model", "source")},
            "task": self.tasks,
            "success": self.success,
            "tools": self._tools(),
            "messages": self._messages(),
        }
        return pa.RecordBatch.from_arrays(
            [columns[name] for name in PARQUET_SCHEMA.names], schema=PARQUET_SCHEMA
        )

    def _column(self, name: str) -> pa.Array:
        offsets, data, valid = self._texts[name]
        parts = [None if valid is None else pa.py_buffer(valid), pa.py_buffer(offsets), pa.py_buffer(data)]
        return pa.Array.from_buffers(pa.string(), len(offsets) - 1, parts)

    def _named_tasks(self) -> pa.Array:
        """The task of each record; where it names none, by its messages."""
        tasks = self._column("task")
        if not tasks.null_count:
            return tasks
        names = tasks.to_pylist()
        for row, name in enumerate(names):
            if name is None:
                names[row] = first_message_task(_Conversation(self, row))
        return buffers.texts(names)

    def conversation(self, row: int) -> Iterator[Message]:
        """Yield the messages of a trajectory, with role and content alone."""
        start, end = self._numbers["messages"][row : row + 2].tolist()
        for place in range(start, end):
            yield {"role": self._roles[place].as_py(), "content": self._contents[place].as_py()}

    def _tools(self) -> pa.Array:
        """The tools as `to_batch` writes them."""
        distinct = (decode_line(text.encode()) for text in self._column("tools").to_pylist())
        texts = [json.dumps(parse_tools(tools), ensure_ascii=False) for tools in distinct]
        return buffers.texts([None if at < 0 else texts[at] for at in self._numbers["tools"].tolist()])

    def _messages(self) -> pa.Array:
        count = len(self._roles)
        columns = {
            "role": self._roles,
            "content": self._contents,
            **{name: self._column(name) for name in ("name", "tool_call_id")},
            "tool_calls": self._calls(),
        }
        members = [
            columns[field.name] if field.name in columns else pa.nulls(count, field.type)
            for field in _MESSAGES.value_type
        ]
        structs = pa.StructArray.from_arrays(members, fields=list(_MESSAGES.value_type))
        offsets = pa.py_buffer(self._numbers["messages"])
        return pa.Array.from_buffers(_MESSAGES, len(self), [None, offsets], children=[structs])

    def _calls(self) -> pa.Array:
        ids = self._column("call_id")
        kinds = buffers.texts(["function"] * len(ids))
        members = [ids, kinds, self._column("call_name"), self._column("arguments")]
        structs = pa.StructArray.from_arrays(members, fields=list(_CALLS.value_type))
        parts = [pa.py_buffer(self._numbers[name]) for name in ("has_calls", "calls")]
        return pa.Array.from_buffers(_CALLS, len(self._roles), parts, children=[structs])


def _openings(data: NDArray[np.uint8]) -> NDArray[np.void]:
    """OPENING (n), of the core's bytes: a plain line is no call, so the core writes no ids of replies."""
    written = OPENING.itemsize - sum(OPENING[name].itemsize for name in ("reply", "previous"))
    rows = np.pad(data.reshape(-1, written), ((0, 0), (0, OPENING.itemsize - written)))
    return rows.view(OPENING).ravel()


class _Conversation:
    """The messages of a trajectory, each made when it is asked for."""

    def __init__(self, lines: ChatLines, row: int) -> None:
        self._lines = lines
        self._row = row

    def __iter__(self) -> Iterator[Message]:
        return self._lines.conversation(self._row)
