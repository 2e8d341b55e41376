"""Logs of no known format whose user names the field of the conversation, and perhaps that of the reply.

The other fields of a record are read as those of a chat's: id, task, model, tools, the system's text.
"""

from dataclasses import replace
from functools import partial
from typing import Any

from lar.errors import OptionError, TrajectoryError
from lar.trajectories.dialects.messages import ROLE_NAMES, is_conversation
from lar.trajectories.dialects.parts import text_in
from lar.trajectories.draft import Draft, Keys, no_content
from lar.trajectories.formats import get_format
from lar.trajectories.formats.base import Format
from lar.trajectories.formats.interfaces import vercel_ui
from lar.trajectories.formats.interfaces.bodies import reply_body
from lar.trajectories.formats.interfaces.chat import is_rendered
from lar.trajectories.formats.interfaces.exchange import reply_id
from lar.trajectories.formats.interfaces.fields import SYSTEM, TOOLS, success_of, task_of
from lar.trajectories.formats.interfaces.streams import whole_reply
from lar.trajectories.formats.tracers.calls.call import make_draft
from lar.trajectories.formats.tracers.calls.sides import known_input
from lar.trajectories.layouts.record import Record
from lar.trajectories.raw import (
    dig,
    first_text,
    from_json_text,
    from_known_json,
    identifier,
    text_or_none,
    value_at,
)

NAME = "keyed"
_SHOWN = 12  # names of fields in a message
_NOTHING = object()
_OF_MESSAGES = {"role", "from", "type", "content", "parts"}


def format_of(name: str, keys: Keys) -> Format | None:
    """The format of all records: the one called `name`, or that of a log whose `keys` name the conversation.

    None for "auto", where each record is recognised.

    Raises:
        OptionError: an unknown name, a name beside a messages key, or a reply key without one.
    """
    forced = get_format(name)
    if keys.messages is None:
        if keys.reply is not None:
            raise OptionError(
                f"the reply key {keys.reply!r} needs a messages key: name the field of the conversation too"
                " (--messages-key)"
            )
        return forced
    if forced is not None:
        raise OptionError(
            f"the format {name} has its fields: a messages key is for logs of no known format"
            " (leave --format out)"
        )
    path = keys.messages
    return Format(
        NAME,
        "fields that the user has named",
        lambda value: value_at(value, path, _NOTHING) is not _NOTHING,
        partial(_read, messages=path, reply=keys.reply),
        field=path,
    )


def _read(record: Record, messages: str, reply: str | None) -> list[Draft]:
    value = record.value
    given = from_known_json(value_at(value, messages), _holds_messages)
    if given in (None, "", [], {}):
        raise TrajectoryError(
            f"no conversation at the messages key {messages!r} ({_fields(value, messages)})"
        )
    holder = given if isinstance(given, dict) else _holder(value, messages)
    answered = None
    if reply is not None:
        answered = value_at(value, reply, _NOTHING)
        if answered is _NOTHING:
            raise TrajectoryError(f"no reply at the reply key {reply!r} ({_fields(value, reply)})")
        answered = _answer(answered)
    draft = make_draft(
        _request(given, holder, value, messages),
        answered,
        is_whole=reply is None,
        tools=next((at[key] for at in (holder, value) for key in TOOLS if at.get(key)), None),
        id=identifier(value.get("id")),
        task=task_of(value),
        success=success_of(value),
        model=first_text((holder.get("model"), value.get("model"))),
        source=text_or_none(value.get("source")),
        reply_id=reply_id(answered),
        is_rendered=is_rendered(given),
    )
    if draft is None:
        return [] if reply is None else [no_content()]
    return [replace(draft, is_call=reply is not None)]


def _holds_messages(value: Any) -> bool:
    if isinstance(value, dict):
        return known_input(value) is not None
    listed = value if isinstance(value, list) else []
    return any(isinstance(one, dict) and _OF_MESSAGES & one.keys() for one in listed)


def _holder(value: dict[str, Any], path: str) -> dict[str, Any]:
    """The object in which the conversation stands, perhaps within the record."""
    holder = from_json_text(value_at(value, path.rpartition(".")[0]))
    return holder if isinstance(holder, dict) else value


def _request(given: Any, holder: dict[str, Any], value: dict[str, Any], path: str) -> dict[str, Any]:
    """The request that a conversation was: its messages, and the system's text where that stands beside them.

    Raises:
        TrajectoryError: the conversation has no known form.
    """
    if isinstance(given, dict) and known_input(given):
        return given
    if isinstance(given, list):
        given = _messages(given)
    if not isinstance(given, str) and not (isinstance(given, list) and known_input(given)):
        raise TrajectoryError(f"neither a text nor messages of a known form at the messages key {path!r}")
    given = [{"role": "user", "content": given}] if isinstance(given, str) else given
    system = (text_in(at.get(key)) for at in (holder, value) for key in SYSTEM)
    return {"messages": given, "system": next(filter(None, system), None)}


def _messages(given: list[Any]) -> list[Any]:
    """A list of messages, in a form that readers of calls know.

    Raises:
        TrajectoryError: a message has an unknown role.
    """
    if vercel_ui.messages_of(given) is not None:
        return [turn for message in given for turn in vercel_ui.raw_turns(message)]
    if is_conversation(given) and "from" in given[0]:
        given = [{"role": one.get("from"), "content": one.get("value")} | one for one in given]
    for number, message in enumerate(given, start=1):
        role = dig(message, "role")
        if isinstance(role, str) and role.lower() not in ROLE_NAMES and role != "thinking":
            raise TrajectoryError(f"message {number}: unknown role {role!r}")
    return given


def _answer(answered: Any) -> Any:
    """A reply, decoded where it is a service's body; other text, also JSON, is what the agent wrote."""
    body = whole_reply(reply_body(answered))
    return {"role": "assistant", "content": body} if isinstance(body, str) and body else body


def _fields(value: Any, path: str) -> str:
    """The fields that stand where a dotted path leads nowhere, in words."""
    place = "the record"
    for step in path.split("."):
        inner = from_json_text(value_at(value, step))
        if not isinstance(inner, dict | list):
            break
        place, value = step, inner
    if not isinstance(value, dict):
        return f"{place} is no object"
    names = ", ".join(map(str, list(value)[:_SHOWN]))
    more = ", ..." if len(value) > _SHOWN else ""
    return f"{place} has the fields {names}{more}" if names else f"{place} is empty"
