"""HAR files: requests of HTTP that a browser or a proxy recorded, among them calls of models.

The calls may be of several interfaces: each is read by the format of its own. The other entries are counted.
"""

from dataclasses import replace
from typing import Any

from lar.errors import TrajectoryError
from lar.trajectories.draft import Draft
from lar.trajectories.formats.base import Format
from lar.trajectories.formats.broken_parts import MALFORMED, reason_of
from lar.trajectories.formats.interfaces import anthropic, chat, gemini, interactions, responses
from lar.trajectories.formats.interfaces.exchange import exchange_of, http_entries
from lar.trajectories.layouts.record import Record
from lar.trajectories.raw import dig

_INTERFACES = (gemini.GEMINI, interactions.FORMAT, responses.FORMAT, anthropic.FORMAT, chat.FORMAT)
_Call = dict[str, Any]


def _read(record: Record) -> list[Draft]:
    calls: dict[str, list[_Call]] = {format_.name: [] for format_ in _INTERFACES}
    drafts: list[Draft] = []
    problems: list[str] = []
    for entry in http_entries(record.value) or ():
        call = _call(entry)
        format_ = next((one for one in _INTERFACES if call is not None and one.recognises(call)), None)
        if call is None or format_ is None:
            problems.append(f"an entry of the HAR file that is no call of a model: {_named(entry)}")
        else:
            calls[format_.name].append(call)
    for format_ in _INTERFACES:
        found, wrong = _read_calls(calls[format_.name], format_, record)
        drafts += found
        problems += wrong
    if not drafts:
        raise TrajectoryError(problems[0])
    drafts[0].problems += problems
    return drafts


def _call(entry: Any) -> _Call | None:
    """The bodies of an entry that calls a model, in a form that all interfaces read; else None.

    A body of a reply is JSON or a stream; of another (the page of an error) nothing is the agent's text.
    """
    exchange = exchange_of(entry)
    if exchange is None:
        return None
    reply = exchange.reply if isinstance(exchange.reply, dict | list) else {}
    if "prompt" in exchange.request:
        return {**exchange.request, "response": reply}
    return {"request": exchange.request, "response": reply}


def _read_calls(calls: list[_Call], format_: Format, record: Record) -> tuple[list[Draft], list[str]]:
    """The drafts of calls of one interface, and what is wrong with those that cannot be read."""
    drafts: list[Draft] = []
    problems: list[str] = []
    for call in calls:
        try:
            drafts += format_.read(replace(record, value=call))
        except MALFORMED as error:
            problems.append(f"a call in the HAR file: {reason_of(error)}")
    return drafts, problems


def _named(entry: Any) -> str:
    """The method and the address, quoted; the query of an address may hold a key."""
    request = dig(entry, "request")
    if not isinstance(request, dict):
        return "no request"
    return f"'{request.get('method')} {str(request.get('url')).partition('?')[0]}'"


FORMAT = Format(
    "har", "HAR files, with calls of any interface", lambda value: http_entries(value) is not None, _read
)
