"""OpenAI Responses: requests with their responses, responses alone, lists of items, and NeMo Gym's rollouts.

A request with `previous_response_id` has only what is new: `histories` puts what was said before in front.
"""

from itertools import pairwise
from typing import Any

from lar.trajectories.dialects.messages import is_conversation, normalize_messages
from lar.trajectories.dialects.responses import has_calls, is_item, is_items, turns_of_items
from lar.trajectories.dialects.tools import parse_tools
from lar.trajectories.draft import Draft
from lar.trajectories.formats.base import Format
from lar.trajectories.formats.broken_parts import readable_items
from lar.trajectories.formats.interfaces.exchange import (
    Exchange,
    body_of,
    exchanges_of,
    outer_fields,
    previous_id,
    reply_id,
)
from lar.trajectories.formats.interfaces.fields import success_of, system_turn, task_of
from lar.trajectories.formats.interfaces.streams import is_cut
from lar.trajectories.layouts.record import Record
from lar.trajectories.raw import first_text, from_json_text, from_known_json, has, identifier

# Members of a record that is one list of items.
_ITEMS = ("items", "input_items", "input", "output", "data", "messages")

_Messages = list[dict[str, Any]]


def _read(record: Record) -> list[Draft]:
    value = record.value
    exchanges = _exchanges(value)
    fields = outer_fields(value, exchanges)
    return [_draft(said, one, fields) for one in exchanges for said in _conversations(one)]


def _exchanges(value: Any) -> list[Exchange]:
    found = [exchange for exchange in exchanges_of(value) if _is_responses(exchange)]
    if found:
        return found
    if has(value, "responses_create_params"):
        return [Exchange(value["responses_create_params"], value.get("response"))]
    items = _items(value)
    return [
        Exchange(value if isinstance(value, dict) else {}, items if items is not None else body_of(value))
    ]


def _items(value: Any) -> list[Any] | None:
    """The items of a record that has one list of them, and no request."""
    lists = [value] if isinstance(value, list) else []
    if isinstance(value, dict):
        lists = [from_json_text(value[key]) for key in _ITEMS if key in value]
    return next((items for items in lists if has_calls(items)), None)


def _conversations(exchange: Exchange) -> list[_Messages]:
    """The raw messages of an exchange. A reply that has the state at each step gives only its last states."""
    history = turns_of_items(_given(exchange.request))
    output = _output(exchange.reply)
    states = output if output and all(isinstance(item, list) for item in output) else [output]
    said = [turns_of_items(items) for items in states]
    ends = [one for one, after in pairwise(said) if after[: len(one)] != one] + said[-1:]
    return [one if one[: len(history)] == history else history + one for one in ends]


def _given(request: dict[str, Any]) -> Any:
    """The items of a request, or its text; LiteLLM's log has them under `messages`."""
    given = (from_known_json(request.get(key), _is_read) for key in ("input", "messages", "prompt"))
    return next((one for one in given if isinstance(one, list | str)), [])


def _is_read(value: Any) -> bool:
    """Whether a value is an item, or a list of items, of states of them, or of messages."""
    states = value if isinstance(value, list) else []
    return is_item(value) or is_conversation(value) or any(map(is_items, [value, *states]))


def _output(reply: Any) -> list[Any]:
    """The items of a reply: of a response, a list, one item or message, or a text."""
    if isinstance(reply, dict):
        output = from_known_json(reply.get("output") or reply.get("output_text"), _is_read)
        if output is None:
            return [reply]
        return _output(output) if isinstance(output, dict | str) else output
    if isinstance(reply, str):
        return [{"type": "message", "role": "assistant", "content": reply}] if reply else []
    return reply if isinstance(reply, list) else []


def _draft(said: _Messages, exchange: Exchange, value: dict[str, Any]) -> Draft:
    sources = (exchange.request, exchange.reply if isinstance(exchange.reply, dict) else {}, value)
    return Draft(
        [*system_turn(at.get("instructions") for at in sources), *normalize_messages(said)],
        id=identifier(value.get("id")) or reply_id(exchange.reply),
        task=task_of(value) or _conversation(exchange.request),
        success=success_of(value),
        model=first_text(at.get("model") for at in sources),
        tools=next((tools for at in sources if (tools := parse_tools(at.get("tools")))), None),
        is_call="responses_create_params" not in value,
        reply_id=reply_id(exchange.reply),
        previous_id=previous_id(exchange.request, exchange.reply),
        is_cut=is_cut(exchange.reply),
    )


def _conversation(request: dict[str, Any]) -> str | None:
    """The id of the conversation that the service keeps, which a request goes on from."""
    held = request.get("conversation")
    return identifier(held.get("id") if isinstance(held, dict) else held)


def _is_responses(exchange: Exchange) -> bool:
    """Whether an exchange is one of the Responses interface: its reply or its history has items of that."""
    reply, request = exchange.reply, exchange.request
    if isinstance(reply, dict) and reply.get("object") == "response":
        return True
    asked = from_known_json(request.get("input"), _is_read)
    if asked is None:
        return False
    said = reply.get("output") if isinstance(reply, dict) else reply
    if is_items(said) or has_calls([reply]) or has_calls(asked):
        return True
    named = "instructions" in request or ("model" in request and isinstance(asked, str))
    return isinstance(reply, str) and isinstance(asked, list | str) and named


def _recognises(value: Any) -> bool:
    if has(value, "object", "output") and value["object"] == "response":
        return True
    if has(value, "responses_create_params") and isinstance(value["responses_create_params"], dict):
        return True
    return _items(value) is not None or any(map(_is_responses, exchanges_of(value)))


def _read_lines(record: Record) -> list[Draft]:
    items, problems = readable_items(item for item in record.value if isinstance(item, dict))
    return [Draft(normalize_messages(turns_of_items(items)), problems=problems)]


FORMAT = Format("responses", "OpenAI Responses, and NeMo Gym's rollouts", _recognises, _read)
LINES = Format(
    "response_items",
    "Items of OpenAI Responses, one a line",
    lambda value: has_calls([value]) and not has(value, "object", "output"),
    _read_lines,
    whole_file=True,
)
