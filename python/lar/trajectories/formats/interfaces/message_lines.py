"""One message a line, or an array of them: one conversation, or several where the messages name theirs."""

from typing import Any

from lar.trajectories.dialects.messages import is_message
from lar.trajectories.draft import Draft
from lar.trajectories.formats.base import Format
from lar.trajectories.formats.broken_parts import readable_messages
from lar.trajectories.formats.frameworks.group_chat import cast_where_names_decide
from lar.trajectories.formats.interfaces.conversations import Conversation, are_several, conversations_of
from lar.trajectories.layouts.record import Record


def has_several(value: Any) -> bool:
    """Whether a value is a list of messages of several conversations: an array in place of lines."""
    return isinstance(value, list) and all(map(is_message, value)) and are_several(value)


def _read(record: Record) -> list[Draft]:
    return [_draft(one) for one in conversations_of(record, is_message)]


def _draft(one: Conversation) -> Draft:
    messages, problems = readable_messages(cast_where_names_decide(one.messages))
    return Draft(
        messages, id=one.name, task=one.name, entries=one.messages, fused_by=one.fused_by, problems=problems
    )


FORMAT = Format(
    "message_lines",
    "One chat message a line",
    lambda value: is_message(value) and not isinstance(value.get("messages"), list),
    _read,
    whole_file=True,
)
