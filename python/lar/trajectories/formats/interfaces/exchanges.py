"""Exchanges of OpenAI chat that `chat` does not find: pairs and lists of exchanges."""

from typing import Any

from lar.trajectories.dialects.messages import is_conversation
from lar.trajectories.draft import Draft
from lar.trajectories.formats.base import Format
from lar.trajectories.formats.interfaces.anthropic import draft_of
from lar.trajectories.formats.interfaces.exchange import Exchange, exchanges_of, outer_fields
from lar.trajectories.formats.interfaces.reply import reply_messages
from lar.trajectories.layouts.json_stream import Record


def _read(record: Record) -> list[Draft]:
    found = _chats(record.value)
    fields = outer_fields(record.value, found)
    return [draft_of(one, one.request["messages"] + reply_messages(one.reply), fields) for one in found]


def _chats(value: Any) -> list[Exchange]:
    return [one for one in exchanges_of(value) if is_conversation(one.request.get("messages"))]


FORMAT = Format(
    "exchanges",
    "OpenAI chat in pairs and lists of exchanges",
    lambda value: bool(_chats(value)),
    _read,
)
