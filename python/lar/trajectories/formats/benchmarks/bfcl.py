"""Berkeley Function Calling Leaderboard: multi-turn result lines that carry their inference log.

A result line without the log holds the calls alone, without the user's messages and the tools' results.
"""

from typing import Any

from lar.errors import TrajectoryError
from lar.trajectories.dialects.messages import normalize_messages
from lar.trajectories.dialects.tools import parse_tools
from lar.trajectories.draft import Draft
from lar.trajectories.formats.base import Format
from lar.trajectories.layouts.record import Record
from lar.trajectories.raw import has, text_or_none
from lar.trajectories.schema import Tool


def _read(record: Record) -> list[Draft]:
    value = record.value
    log = value.get("inference_log")
    turns = [turn for turn in log if has(turn, "begin_of_turn_query")] if isinstance(log, list) else []
    if not turns:
        raise TrajectoryError(
            "a BFCL result without its inference log has neither the user's turns nor the tools' answers"
        )
    raw: list[dict[str, Any]] = []
    tools: list[Tool] | None = None
    for turn in turns:
        raw += [message for message in turn["begin_of_turn_query"] if isinstance(message, dict)]
        for name, step in turn.items():
            if name.startswith("step_"):
                raw += [_message(entry) for entry in step if entry.get("role") in ("assistant", "tool")]
                tools = tools or _tools(step)
    return [
        Draft(
            normalize_messages(raw),
            task=f"bfcl/{value['id']}",
            model=text_or_none(value.get("model")),
            tools=tools,
        )
    ]


def _message(entry: dict[str, Any]) -> dict[str, Any]:
    """Read calls, written as `[{name: arguments}, ...]`, or text."""
    content = entry.get("content")
    if entry["role"] != "assistant" or not isinstance(content, list):
        return entry
    calls = [{"name": name, "arguments": arguments} for call in content for name, arguments in call.items()]
    rest = {key: value for key, value in entry.items() if key != "content"}
    return rest | {"content": "", "tool_calls": calls}


def _tools(step: list[dict[str, Any]]) -> list[Tool] | None:
    for entry in step:
        if entry.get("role") == "inference_input" and has(entry.get("content"), "tools"):
            return parse_tools(entry["content"]["tools"])
    return None


FORMAT = Format(
    "bfcl",
    "BFCL multi-turn results with inference log",
    lambda value: has(value, "id", "result") and ("inference_log" in value or "latency" in value),
    _read,
    # What the program logged of a step: the request as text, and how it decoded the reply.
    unwanted=("inference_log[].step_N[].content", "inference_log[].step_N[].content.message"),
)
