"""Google's Interactions interface: requests with their interactions, and interactions alone.

A request with `previous_interaction_id` has only what is new: `histories` puts what was said before in front.
"""

from typing import Any

from lar.trajectories.dialects.interactions import has_steps, is_input, turns_of_steps
from lar.trajectories.dialects.messages import normalize_messages
from lar.trajectories.dialects.tools import parse_tools
from lar.trajectories.draft import Draft
from lar.trajectories.formats.base import Format
from lar.trajectories.formats.interfaces.exchange import (
    Exchange,
    exchanges_of,
    outer_fields,
    previous_id,
    reply_id,
)
from lar.trajectories.formats.interfaces.fields import success_of, system_turn, task_of
from lar.trajectories.formats.interfaces.streams import is_cut
from lar.trajectories.layouts.record import Record
from lar.trajectories.raw import first_text, from_json_text, from_known_json, identifier

_MODELS = ("model", "agent")

_Messages = list[dict[str, Any]]


def _read(record: Record) -> list[Draft]:
    exchanges = _exchanges(record.value)
    fields = outer_fields(record.value, exchanges)
    return [_draft(one, fields) for one in exchanges]


def _exchanges(value: Any) -> list[Exchange]:
    if _is_interaction(value):
        return [Exchange(value, value)]
    return [one for one in exchanges_of(value) if _is_call(one)]


def _draft(exchange: Exchange, value: dict[str, Any]) -> Draft:
    request, reply = exchange.request, exchange.reply
    sources = (reply if isinstance(reply, dict) else {}, request, value)
    system = system_turn([request.get("system_instruction")])
    history = turns_of_steps(_given(request), "user")
    said = turns_of_steps(_output(reply), "assistant")
    return Draft(
        normalize_messages([*system, *history, *_without_echo(said, history)]),
        id=identifier(value.get("id")) or reply_id(reply),
        task=task_of(value),
        success=success_of(value),
        model=first_text(at.get(key) for at in sources for key in _MODELS),
        tools=next((tools for at in sources if (tools := parse_tools(at.get("tools")))), None),
        is_call=True,
        reply_id=reply_id(reply),
        previous_id=previous_id(request, reply),
        is_cut=is_cut(reply),
    )


def _given(request: dict[str, Any]) -> Any:
    given = from_known_json(request.get("input"), is_input)
    return [] if given is None else given


def _output(reply: Any) -> Any:
    """The steps of a reply: of an interaction, a list of them, or a text."""
    if isinstance(reply, dict):
        reply = from_json_text(reply.get("steps") or reply.get("outputs"))
    return reply or []


def _without_echo(said: _Messages, history: _Messages) -> _Messages:
    """What is new in an interaction that was read later: its steps begin with those that it was given."""
    for length in range(min(len(said), len(history)), 0, -1):
        if history[-length:] == said[:length]:
            return said[length:]
    return said


def _is_call(exchange: Exchange) -> bool:
    """Whether an exchange is one of this interface: what it was given or what it gave are steps of it."""
    request, reply = exchange.request, exchange.reply
    if request.get("input") is None:
        return False
    asked = from_known_json(request["input"], is_input)
    return (
        _is_interaction(reply) or has_steps(reply) or has_steps(asked) or "previous_interaction_id" in request
    )


def _is_interaction(value: Any) -> bool:
    """Whether a value is an interaction; a client may write one without the kind of the object."""
    if not isinstance(value, dict):
        return False
    if value.get("object") == "interaction":
        return True
    return isinstance(value.get("status"), str) and (
        has_steps(value.get("steps")) or has_steps(value.get("outputs"))
    )


FORMAT = Format(
    "interactions",
    "Google's Interactions API (Gemini)",
    lambda value: _is_interaction(value) or any(map(_is_call, exchanges_of(value))),
    _read,
)
