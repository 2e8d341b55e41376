"""Where a log keeps a request to a model and the reply: the many wrappings of proxies, clients and recorders.

A body may stand in an object of HTTP (`request.body`, a HAR file's `postData.text`), as JSON text, or as the
events of a stream. A record may be a pair, hold a request and a reply, or hold a list of such exchanges.
"""

import base64
import gzip
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from lar.trajectories.formats.interfaces.bodies import reply_body
from lar.trajectories.formats.interfaces.streams import whole_reply
from lar.trajectories.raw import dig, from_json_text, has, identifier

_REQUESTS = (
    "request",
    "responses_create_params",
    "request_body",
    "requestBody",
    "raw_request",
    "req",
    "body",
    "input",
    "inputs",
    "params",
    "kwargs",
)
_REPLIES = (
    "response",
    "response_body",
    "responseBody",
    "raw_response",
    "res",
    "output",
    "outputs",
    "reply",
    "result",
    "completion",
)
_CONVERSATIONS = ("messages", "input", "contents", "prompt")  # what a request holds its conversation in
_REPLY_NAMES = frozenset(_REPLIES)
_REQUEST_NAMES = frozenset((*_REQUESTS, *_CONVERSATIONS))
# What makes an object the body itself, and what holds a body.
_OWN = (*_CONVERSATIONS, "output", "role", "choices", "object", "candidates", "stop_reason")
_WRAPPINGS = (
    "body",
    "json",
    "postData",
    "inputBodyJson",
    "outputBodyJson",
    "body_raw",
    "parsed_body",
    "content",
    "text",
    "data",
    "chunks",
    "events",
    "stream",
)
_SPOKEN = ("content", "text")  # wrappings that may hold an agent's text, and no body
_PREVIOUS = ("previous_response_id", "previous_interaction_id")
_GZIP = b"\x1f\x8b"


@dataclass(frozen=True, slots=True)
class Exchange:
    """One call of a model: the body of the request, and the reply (an object, items, or a text)."""

    request: dict[str, Any]
    reply: Any


def exchanges_of(value: Any) -> list[Exchange]:
    """The exchanges that a record holds, in their order; none where it holds no request with a reply."""
    global _latest
    latest = _latest
    if latest[0] is not value:
        one = exchange_of(value)
        _latest = latest = value, list(_listed(value)) if one is None else [one]
    return latest[1]


def reply_id(reply: Any) -> str | None:
    """The id that the provider gave a reply; None for a text, or where the log has none."""
    if not isinstance(reply, dict):
        return None
    return next((name for key in ("id", "responseId") if (name := identifier(reply.get(key)))), None)


def previous_id(request: Any, reply: Any) -> str | None:
    """The id of the reply whose conversation a request goes on from (OpenAI, Google); None without one."""
    bodies = [body for body in (request, reply) if isinstance(body, dict)]
    names = (identifier(body.get(key)) for body in bodies for key in _PREVIOUS)
    return next((name for name in names if name), None)


def outer_fields(value: Any, exchanges: list[Exchange]) -> dict[str, Any]:
    """The fields of a record around its exchanges; its name is none of theirs where there are several."""
    if not isinstance(value, dict):
        return {}
    return value if len(exchanges) == 1 else {key: item for key, item in value.items() if key != "id"}


# The last record and its exchanges: several formats look at each record, and to decode its bodies is slow.
_latest: tuple[Any, list[Exchange]] = (None, [])


def _listed(value: Any) -> Iterator[Exchange]:
    if isinstance(value, dict):
        entries = http_entries(value)
        value = next(filter(_begins, value.values()), None) if entries is None else entries
    for item in value if isinstance(value, list) else ():
        exchange = exchange_of(item)
        if exchange is not None:
            yield exchange


def _begins(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and exchange_of(value[0]) is not None


def http_entries(value: Any) -> list[Any] | None:
    """The entries of a HAR file or of the log in it, requests of HTTP of any kind; None for other values."""
    log = value.get("log", value) if isinstance(value, dict) else None
    entries = dig(log, "entries")
    return entries if isinstance(entries, list) and any(map(_is_http, entries)) else None


def _is_http(entry: Any) -> bool:
    request, response = dig(entry, "request"), dig(entry, "response")
    is_asked = isinstance(request, dict) and any(key in request for key in ("method", "url", "postData"))
    return is_asked and isinstance(response, dict)


def exchange_of(value: Any) -> Exchange | None:
    """The one exchange that a value is: a pair of bodies, or an object that holds them; else None."""
    value = from_json_text(value)
    if isinstance(value, list):
        # Two requests are no pair, but two records.
        if len(value) == 2 and all(isinstance(one, dict) for one in value) and _pair(value[1], None) is None:
            return _pair(body_of(value[0]), value[1])
        return None
    if not isinstance(value, dict) or _REPLY_NAMES.isdisjoint(value) or _REQUEST_NAMES.isdisjoint(value):
        return None
    reply = next((value[key] for key in _REPLIES if value.get(key) not in (None, "")), None)
    if reply is None:
        return None
    for key in _REQUESTS:
        found = _pair(body_of(value[key]), reply) if isinstance(value.get(key), dict | str) else None
        if found is not None:
            return found
    return _pair(value, reply)


def _pair(request: Any, reply: Any) -> Exchange | None:
    if not isinstance(request, dict):
        return None
    held = (request.get(key) for key in _CONVERSATIONS)
    if not any(isinstance(one, list | str) and one for one in held) and not has(request.get("input"), "type"):
        return None
    return Exchange(request, body_of(reply, reply_body))


def body_of(value: Any, decode: Callable[[Any], Any] = from_json_text) -> Any:
    """The body in an object of HTTP or of a recorder, decoded, a stream put together; else `value`.

    `decode` decodes a text that may be one that an agent wrote; what HTTP calls a body is a body.
    """
    value = whole_reply(decode(value))
    if not isinstance(value, dict) or any(key in value for key in _OWN):
        return value
    if value.get("encoding") == "base64":
        return body_of(_decoded(value.get("text")))
    is_http = "mimeType" in value
    for key in _WRAPPINGS:
        if isinstance(inner := value.get(key), dict | list | str) and inner:
            return body_of(inner, decode if key in _SPOKEN and not is_http else from_json_text)
    return value


def _decoded(text: Any) -> Any:
    """The text of a body in base64, perhaps compressed and in pieces (HAR files); None without one."""
    pieces = from_json_text(text)
    try:
        body = b"".join(map(base64.b64decode, pieces if isinstance(pieces, list) else [pieces]))
        return (gzip.decompress(body) if body.startswith(_GZIP) else body).decode()
    except (ValueError, TypeError, EOFError, OSError, zlib.error):
        return None
