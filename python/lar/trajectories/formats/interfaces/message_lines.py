"""One message a line: a file is a conversation, or several where the messages name theirs."""

from typing import Any

from lar.trajectories.dialects.messages import is_message
from lar.trajectories.draft import Draft, identifier
from lar.trajectories.formats.base import Format
from lar.trajectories.formats.frameworks.group_chat import cast_where_names_decide
from lar.trajectories.formats.sessions import readable_messages
from lar.trajectories.layouts.json_stream import Record

# Without case and underscores: sessionId, conversation_id, threadID.
_CONVERSATIONS = (
    "sessionid",
    "conversationid",
    "threadid",
    "chatid",
    "dialogid",
    "dialogueid",
    "traceid",
    "runid",
)


def _read(record: Record) -> list[Draft]:
    conversations: dict[str | None, list[dict[str, Any]]] = {}
    for entry in record.value:
        if is_message(entry):
            conversations.setdefault(conversation_of(entry), []).append(entry)
    return [_draft(name, raw) for name, raw in conversations.items()]


def _draft(name: str | None, raw: list[dict[str, Any]]) -> Draft:
    messages, problems = readable_messages(cast_where_names_decide(raw))
    return Draft(messages, id=name, task=name, problems=problems)


def conversation_of(entry: dict[str, Any]) -> str | None:
    """The name of the conversation that a message belongs to, where it has one."""
    named = {
        key.replace("_", "").lower(): name for key, value in entry.items() if (name := identifier(value))
    }
    return next((named[key] for key in _CONVERSATIONS if key in named), None)


FORMAT = Format(
    "message_lines",
    "One chat message a line",
    lambda value: is_message(value) and not isinstance(value.get("messages"), list),
    _read,
    whole_file=True,
)
