"""Group chats: {role, name, content} as AutoGen 0.2 writes them, or names in place of the roles.

Several names may be the agent's; `names` decides which. A record may hold the id of its question, and
whether the answer was right.
"""

from typing import Any

from lar.errors import TrajectoryError
from lar.trajectories.dialects.messages import ROLE_NAMES, normalize_messages
from lar.trajectories.dialects.tools import parse_tools
from lar.trajectories.draft import Draft, first_solved
from lar.trajectories.formats.base import Format
from lar.trajectories.formats.frameworks import names
from lar.trajectories.layouts.record import Record
from lar.trajectories.raw import first_of, first_text, identifier, text_or_none
from lar.trajectories.schema import PARQUET_SCHEMA

_LISTS = ("history", "chat_history", "messages", "conversation", "conversations", "trajectory", "groupchat")
_TASKS = ("question_ID", "question_id", "task_id", "instance_id", "problem_id")
_RESULTS = ("is_correct", "is_corrected", "is_correctly_solved", "success", "correct", "resolved", "reward")
_WRITTEN = frozenset(PARQUET_SCHEMA.names)
_REPLIES = ("response", "output", "completion", "choices")
_CHAT_ROLES = ("user", "assistant")
_ROLES = ("role", "from", "sender", "speaker", "agent")
_NAMES = ("name", "sender", "speaker", "agent_name")
_CONTENTS = ("content", "value", "message", "text")
_CALLS = ("tool_calls", "function_call")
_SAID = (*_CONTENTS, *_CALLS)
_KEPT = (*_CALLS, "tool_call_id", "reasoning_content", "weight", "loss")
_HEAD = 8  # messages by which most logs are passed over

_Raw = dict[str, Any]


def _found(value: Any) -> list[_Raw] | None:
    """The messages of a record whose names decide whose turns they are, else None."""
    if isinstance(value, dict):
        if value.keys() == _WRITTEN:
            return None  # written by this package, with the roles as they are
        if "question_ID" in value and _is_all_said(value.get("history")):
            return list(value["history"])
        if any(isinstance(value.get(key), dict | list) for key in _REPLIES):
            return None  # one call of a model, which saw what others said as a user's
        found = (_found(value.get(key)) for key in _LISTS if isinstance(value.get(key), list))
        return next((messages for messages in found if messages is not None), None)
    if not isinstance(value, list) or not any(map(_may_decide, value[:_HEAD])) or not _is_all_said(value):
        return None
    return list(value) if _has_names(value) or _has_names_as_roles(value) else None


def _may_decide(message: Any) -> bool:
    """Whether a message has the name of its speaker, or no role that a chat has; most logs have neither."""
    if not isinstance(message, dict):
        return False
    role = message.get("role")
    if isinstance(role, str) and role in ROLE_NAMES:
        return role in _CHAT_ROLES and any(key in message for key in _NAMES)
    return _role(message).lower() not in ROLE_NAMES


def _is_all_said(value: Any) -> bool:
    return isinstance(value, list) and len(value) > 1 and all(map(_is_said, value))


def _is_said(message: Any) -> bool:
    return isinstance(message, dict) and bool(_role(message)) and any(key in message for key in _SAID)


def _role(message: _Raw) -> str:
    """The role of a message, or the name that stands in its place; "" where it has neither."""
    return next((message[key] for key in _ROLES if isinstance(message.get(key), str)), "")


def _name(message: _Raw) -> str | None:
    return first_text(map(message.get, _NAMES))


def _content(message: _Raw) -> Any:
    return first_of(message, *_CONTENTS)


def _has_names(messages: list[_Raw]) -> bool:
    """Whether every user's and every agent's message has a name, and the names decide."""
    said = sum(_role(message).lower() in _CHAT_ROLES for message in messages)
    named = _named_turns(messages)
    return len(named) == said and names.decide(named)


def _named_turns(messages: list[_Raw]) -> list[tuple[str, str, Any]]:
    """The role, name and content of each user's and each agent's message that has a name."""
    return [
        (role, name, _content(message))
        for message in messages
        if (role := _role(message).lower()) in _CHAT_ROLES and (name := _name(message)) is not None
    ]


def _has_names_as_roles(messages: list[_Raw]) -> bool:
    """Whether names stand in place of roles: two or more that no chat has, one of them no person's."""
    unknown = {_role(message) for message in messages if _role(message).lower() not in ROLE_NAMES}
    told = all(isinstance(_content(message), str) for message in messages)
    return told and len(unknown) > 1 and any(names.is_plain(_without_note(role)) for role in unknown)


def _without_note(role: str) -> str:
    """The name in a role: "Orchestrator (-> WebSurfer)" is the orchestrator's."""
    return role.partition(" (")[0]


def cast(messages: list[_Raw]) -> list[_Raw]:
    """The messages with the roles that the names of their speakers give."""
    if _has_names_as_roles(messages):
        return [part for message in messages for part in _in_role(message)]
    are_views = names.are_views(_named_turns(messages))
    return [part for message in messages for part in _named(message, are_views)]


def cast_where_names_decide(messages: list[_Raw]) -> list[_Raw]:
    """The messages of a conversation as `cast` gives them, unchanged where names decide nothing."""
    return messages if _found(messages) is None else cast(messages)


def _read(record: Record) -> list[Draft]:
    messages = _found(record.value)
    if messages is None:
        raise TrajectoryError("no messages with the names of several speakers")
    value = record.value if isinstance(record.value, dict) else {}
    return [
        Draft(
            normalize_messages(cast(messages)),
            id=identifier(value.get("id")),
            task=next((name for key in _TASKS if (name := identifier(value.get(key)))), None),
            success=first_solved(map(value.get, _RESULTS)),
            model=text_or_none(value.get("model")),
            tools=parse_tools(value.get("tools") or value.get("functions")),
        )
    ]


def _named(message: _Raw, are_views: bool) -> list[_Raw]:
    """A message of AutoGen 0.2 with the role that its speaker's name gives.

    A person's name gives none: its role stands, but where roles are views it is an agent's.
    """
    if isinstance(message.get("tool_responses"), list):
        return [{"role": "tool", **response} for response in message["tool_responses"]]
    role, name, content = _role(message).lower(), _name(message), _content(message)
    if role not in _CHAT_ROLES or name is None:
        return [message]
    calls = any(message.get(key) for key in _CALLS)
    gives = are_views or names.is_plain(name)
    part = "assistant" if calls else names.part_in(name, content) if gives else role
    kept = {key: message[key] for key in _KEPT if message.get(key) is not None}
    return [{"role": part, "name": name, "content": content, **kept}]


def _in_role(message: _Raw) -> list[_Raw]:
    """A message whose role is a name."""
    role, content = _role(message), _content(message)
    if role.lower() in ROLE_NAMES:
        return [{"role": role.lower(), "content": content}]
    speaker = _without_note(role)
    return [{"role": names.part_in(speaker, content), "name": speaker, "content": content}]


FORMAT = Format(
    "group_chat",
    "group chats with several names (AutoGen 0.2)",
    lambda value: _found(value) is not None,
    _read,
)
