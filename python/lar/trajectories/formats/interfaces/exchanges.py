"""Exchanges of OpenAI that `chat` does not find: pairs and lists of exchanges, and text completions."""

from dataclasses import replace
from typing import Any

from lar.trajectories.dialects.messages import is_conversation
from lar.trajectories.draft import Draft
from lar.trajectories.formats.base import Format
from lar.trajectories.formats.interfaces.anthropic import draft_of
from lar.trajectories.formats.interfaces.chat import is_rendered
from lar.trajectories.formats.interfaces.exchange import Exchange, exchanges_of, outer_fields
from lar.trajectories.formats.interfaces.reply import reply_messages
from lar.trajectories.layouts.record import Record


def _read(record: Record) -> list[Draft]:
    found = _chats(record.value)
    fields = outer_fields(record.value, found)
    return [replace(_draft(one, fields), is_rendered=is_rendered(one.request.get("prompt"))) for one in found]


def _draft(exchange: Exchange, fields: dict[str, Any]) -> Draft:
    request = exchange.request
    asked = request.get("messages") or [{"role": "user", "content": request["prompt"]}]
    return draft_of(exchange, asked + reply_messages(exchange.reply), fields)


def _chats(value: Any) -> list[Exchange]:
    return [one for one in exchanges_of(value) if _is_asked(one.request)]


def _is_asked(request: dict[str, Any]) -> bool:
    """Whether a request has a conversation, or is one for a text completion, which names its model."""
    prompt = request.get("prompt")
    is_completion = isinstance(prompt, str) and bool(prompt) and "model" in request
    return is_conversation(request.get("messages")) or is_completion


FORMAT = Format(
    "exchanges",
    "OpenAI chat and text completions in pairs and lists of exchanges",
    lambda value: bool(_chats(value)),
    _read,
)
