"""Which conversation each message of a file belongs to, where every line of the file is one message."""

import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from lar.trajectories.dialects.messages import ROLE_NAMES
from lar.trajectories.layouts.record import Record
from lar.trajectories.raw import identifier, text_at, value_at

# Names of fields that name the conversation, without case and what joins words: sessionId, conversation_id.
# Of several, the first here counts. `thread` alone is missing: in the logs of programs it is a thread's.
KNOWN = (
    "sessionid",
    "conversationid",
    "threadid",
    "chatid",
    "dialogid",
    "dialogueid",
    "traceid",
    "runid",
    "convid",
    "episodeid",
    "session",
    "conversation",
    "conv",
    "chat",
    "dialog",
    "dialogue",
    "episode",
)
# In a list of messages, which is one conversation unless it surely is not, these may name a part of it.
_OF_CALLS = ("traceid", "runid")
_JOINTS = re.compile(r"[_-]")
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+")
# Fields with these words hold several values in one conversation: they count its turns, or describe them.
_OF_TURNS = {
    *("turn", "step", "round", "iteration", "index", "idx", "seq", "sequence", "position", "offset"),
    *("time", "timestamp", "date", "day", "hour", "created", "updated", "ts"),
    *("role", "from", "name", "content", "value", "text", "type", "model", "language", "lang", "level"),
}


class Conversation(NamedTuple):
    """The messages of one conversation.

    name: what the messages call it. fused_by: a field that may name several conversations, which these
    messages then are, and how many values it has.
    """

    name: str | None
    messages: list[dict[str, Any]]
    fused_by: tuple[str, int] | None = None


def conversations_of(record: Record, is_message: Callable[[Any], bool]) -> list[Conversation]:
    """The conversations in the lines of a file, told apart by a known field and by the task key."""
    named: dict[str | None, list[dict[str, Any]]] = {}
    for entry in filter(is_message, record.value):
        named.setdefault(_name_of(entry), []).append(entry)
    if record.task_key is not None:
        return [part for name, entries in named.items() for part in _by_task(name, entries, record.task_key)]
    found = [Conversation(name, entries) for name, entries in named.items()]
    if len(found) == 1 and found[0].name is None:
        return [found[0]._replace(fused_by=_field_of_several(found[0].messages))]
    return found


def are_several(messages: list[dict[str, Any]]) -> bool:
    """Whether the messages of a list are surely of several conversations.

    Each message names its conversation, by a field that no single call or step has, and both user and agent
    speak in each.
    """
    said: dict[str, set[str]] = {}
    for message in messages:
        found = _named(message)
        if found is None or found[0] in _OF_CALLS:
            return False
        said.setdefault(found[1], set()).add(_speaker(message))
    return len(said) > 1 and all({"user", "assistant"} <= by for by in said.values())


def _name_of(entry: dict[str, Any]) -> str | None:
    """The name of the conversation that a message belongs to, where it has one."""
    found = _named(entry)
    return found and found[1]


def _named(entry: dict[str, Any]) -> tuple[str, str] | None:
    """The known field that names the conversation of a message, and the name."""
    named = {
        _JOINTS.sub("", key).lower(): name for key, value in entry.items() if (name := identifier(value))
    }
    return next(((key, named[key]) for key in KNOWN if key in named), None)


def _by_task(name: str | None, entries: list[dict[str, Any]], task_key: str) -> list[Conversation]:
    """One conversation for each task; entries without one belong to the others', if these have but one."""
    parts: dict[str | None, list[dict[str, Any]]] = {}
    for entry in entries:
        parts.setdefault(text_at(entry, task_key), []).append(entry)
    if len(parts.keys() - {None}) <= 1:
        return [Conversation(name, entries)]
    return [Conversation(name if name is None else f"{name}/{task}", part) for task, part in parts.items()]


def _field_of_several(messages: list[dict[str, Any]]) -> tuple[str, int] | None:
    """The field that may name several conversations, and how many.

    Every message has it, and each of its values stands at messages of the user and of the agent. Of several
    such fields it is the one with the most values: a customer has several conversations.
    """
    speakers = [_speaker(message) for message in messages]
    best: tuple[str, int] | None = None
    for path in _scalars(messages[0]):
        said: dict[str | None, set[str]] = {}
        for message, speaker in zip(messages, speakers, strict=True):
            said.setdefault(identifier(value_at(message, path)), set()).add(speaker)
        is_name = None not in said and all({"user", "assistant"} <= by for by in said.values())
        if is_name and len(said) > (best[1] if best else 1):
            best = path, len(said)
    return best


def _speaker(message: dict[str, Any]) -> str:
    return ROLE_NAMES.get(str(message.get("role", message.get("from"))).lower(), "")


def _scalars(value: dict[str, Any], before: str = "") -> Iterator[str]:
    """The dotted paths of what may be names in an object and in the objects in it."""
    for key, item in value.items():
        if isinstance(item, dict):
            yield from _scalars(item, f"{before}{key}.")
        elif identifier(item) and _OF_TURNS.isdisjoint(map(str.lower, _WORD.findall(key))):
            yield f"{before}{key}"
