"""Dumps of LangChain's messages: a conversation (`messages_to_dict`, `dumpd`) or a state of LangGraph."""

from typing import Any

from lar.trajectories.draft import Draft
from lar.trajectories.formats.base import Format
from lar.trajectories.formats.tracers.calls.call import make_draft
from lar.trajectories.formats.tracers.calls.langchain import kind_of
from lar.trajectories.layouts.record import Record
from lar.trajectories.raw import dig, identifier, text_or_none

_HOLDERS = (
    *("values", "channel_values", "state", "checkpoint", "output", "outputs", "input", "inputs", "kwargs"),
)


def _conversation(value: Any) -> list[Any] | None:
    """Return the messages of a dump, of a state, or of what holds a state."""
    if isinstance(value, list):
        return value if value and kind_of(value[0]) is not None else None
    if not isinstance(value, dict):
        return None
    inner = (_conversation(value.get(key)) for key in ("messages", *_HOLDERS))
    return next((messages for messages in inner if messages is not None), None)


def _is_state(value: Any) -> bool:
    return kind_of(value) is None and _conversation(value) is not None


def _read(record: Record) -> list[Draft]:
    value = record.value
    fields = value if isinstance(value, dict) else {}
    draft = make_draft(
        _conversation(value),
        None,
        is_whole=True,
        tools=fields.get("tools"),
        id=identifier(fields.get("id")),
        task=text_or_none(fields.get("task")) or _thread(fields),
    )
    return [draft] if draft else []


def _thread(fields: dict[str, Any]) -> str | None:
    """Return the thread that a state belongs to."""
    configured = dig(fields, "config", "configurable")
    return identifier((configured if isinstance(configured, dict) else fields).get("thread_id"))


STATE = Format("langchain", "LangChain's messages and LangGraph's states", _is_state, _read)
MESSAGES = Format(
    "langchain_messages",
    "LangChain's messages, one an entry",
    lambda value: kind_of(value) in ("human", "ai"),
    _read,
    whole_file=True,
)
