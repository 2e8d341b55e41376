"""Sessions of the Kimi CLI: `wire.jsonl`, an event a line, and the older `context.jsonl`, a message a line.

A step of the loop is one call of the model. The system prompt and the tools are in the log. A trajectory ends
where the context is replaced: the user undid turns or cleared all, or it was compacted. The next one begins
with what was left of the context. The agent's turns in that part are in the trajectory before as well, so
they have weight 0.
"""

from dataclasses import dataclass, field
from typing import Any

from lar.trajectories.dialects.messages import normalize_messages
from lar.trajectories.dialects.tools import parse_tools
from lar.trajectories.draft import Draft
from lar.trajectories.formats.base import Format
from lar.trajectories.formats.coding_agents.kimi_context import Context, message_of
from lar.trajectories.layouts.record import Record
from lar.trajectories.raw import has, text_or_none
from lar.trajectories.schema import Message
from lar.trajectories.tasks import first_message_task

_EVENT = "context.append_loop_event"
_NOTES = ("_checkpoint", "_usage")

_Raw = dict[str, Any]


def _recognises(value: Any) -> bool:
    if has(value, "type"):
        return (value["type"] == _EVENT and "event" in value) or (
            value["type"] == "context.append_message" and "message" in value
        )
    return has(value, "role") and value["role"] in (*_NOTES, "_system_prompt")


@dataclass(slots=True)
class _Session:
    """A session while it is read."""

    system: str | None = None
    model: str | None = None
    tools: list[Any] | None = None
    context: Context = field(default_factory=Context)
    is_fork: bool = False
    is_part: bool = False

    def add(self, entry: _Raw) -> None:
        """Take over what an entry says."""
        kind = entry.get("type")
        if kind in ("config.update", "profile.bind"):
            self.system = self.system or text_or_none(entry.get("systemPrompt"))
            self.model = self.model or text_or_none(entry.get("modelAlias"))
        elif kind == "llm.tools_snapshot":
            offered = entry.get("tools")
            self.tools = self.tools or (offered if isinstance(offered, list) else None)
        elif kind == "forked":
            self.is_fork = True
        elif kind == "context.clear":
            self.context.clear()
        elif kind == "context.undo":
            self.context.undo(entry.get("count"))
        elif kind == "context.apply_compaction":
            self.context.compact(entry)
        elif kind == "context.append_message":
            self.context.append(entry["message"])
        elif kind == _EVENT:
            self.context.add_event(entry["event"])
        elif kind is None and entry.get("role") == "_system_prompt":
            self.system = self.system or text_or_none(entry.get("content"))
            self.is_part = True  # going back begins another file; the prompt holds the session's time
        elif kind is None and has(entry, "role") and entry["role"] not in _NOTES:
            self.context.append(entry)

    def messages(self, context: list[_Raw]) -> list[Message]:
        """The messages of a context, after the system prompt."""
        raw = [message_of(entry) for entry in context]
        raw = [message for message in raw if message["content"] or message.get("tool_calls")]
        if self.system is not None:
            raw.insert(0, {"role": "system", "content": self.system})
        return normalize_messages(raw)


def _read(record: Record) -> list[Draft]:
    session = _Session()
    for entry in record.value:
        session.add(entry)
    drafts, task = [], None
    for context, begins in session.context.finished():
        messages = session.messages(context)
        task = first_message_task(messages) if begins or task is None else task
        drafts.append(
            Draft(
                messages,
                task=task,
                is_session=True,
                is_fork=session.is_fork,
                is_part=session.is_part,
                model=session.model,
                tools=parse_tools(session.tools),
            )
        )
    return drafts


FORMAT = Format("kimi", "Kimi CLI session (wire.jsonl, context.jsonl)", _recognises, _read, whole_file=True)
