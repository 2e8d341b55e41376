"""What gateways log of a request: LiteLLM (its logging payload, its spend logs) and Helicone.

The task is the session or the trace where the log has one. A call that failed or that is no chat (embeddings,
moderation, ...) gives no trajectory.
"""

import re
from collections.abc import Iterator
from typing import Any

from lar.trajectories.draft import Draft, no_content
from lar.trajectories.formats.base import Format
from lar.trajectories.formats.interfaces.exchange import previous_id, reply_id
from lar.trajectories.formats.tracers.calls.call import make_draft
from lar.trajectories.formats.tracers.calls.scores import solved_by
from lar.trajectories.layouts.record import Record
from lar.trajectories.raw import from_json_text, has, identifier, text_or_none

_CHAT = re.compile(r"completion|responses|messages|generate_content|pass_?through")
_OMITTED = "helicone_message"  # the one member of a body that Helicone did not keep, or whose place it names
_OF_HELICONE = ("request_properties", "request_created_at", "response_created_at", "llmSchema")


def _is_litellm(value: Any) -> bool:
    return has(value, "call_type", "response") and ("messages" in value or "proxy_server_request" in value)


def _read_litellm(record: Record) -> list[Draft]:
    value = record.value
    kind = value["call_type"]
    if isinstance(kind, str) and kind and not _CHAT.search(kind):
        return []
    request = from_json_text(value.get("proxy_server_request")) or {}
    body = request.get("body") or request
    given = from_json_text(value.get("messages")) or body.get("messages") or body
    options = from_json_text(value.get("model_parameters") or value.get("optional_params")) or {}
    reply = from_json_text(value["response"])
    draft = make_draft(
        given,
        value["response"],
        tools=options.get("tools") or body.get("tools"),
        id=identifier(value.get("id") or value.get("request_id")),
        task=identifier(value.get("session_id") or value.get("trace_id")),
        model=text_or_none(value.get("model")),
        reply_id=reply_id(reply),
        previous_id=previous_id(body, reply),
    )
    return [draft or no_content()]


def _is_helicone(value: Any) -> bool:
    return has(value, "request_body", "response_body") and any(key in value for key in _OF_HELICONE)


def _read_helicone(record: Record) -> list[Draft]:
    value = record.value
    properties = value.get("request_properties") or value.get("properties") or {}
    given, answered = _kept(value["request_body"]), _kept(value["response_body"])
    body, reply = from_json_text(given), from_json_text(answered)
    draft = make_draft(
        given,
        answered,
        id=identifier(value.get("request_id")),
        task=text_or_none(properties.get("Helicone-Session-Id")),
        success=solved_by(_scores(value.get("scores") or {})),
        reply_id=reply_id(reply),
        previous_id=previous_id(body, reply),
        model=text_or_none(value.get("request_model") or value.get("model")),
    )
    if draft is None and answered is None:
        return [no_content()]
    return [draft] if draft else []


def _kept(body: Any) -> Any:
    """A body, None where Helicone has put a note in its place: it was omitted, or is stored elsewhere."""
    return None if has(from_json_text(body), _OMITTED) else body


def _scores(scores: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, score in scores.items():
        yield name, score.get("value") if isinstance(score, dict) else score


LITELLM = Format(
    "litellm", "LiteLLM's payloads and spend logs", _is_litellm, _read_litellm, may_be_empty=True
)
HELICONE = Format("helicone", "Helicone's requests", _is_helicone, _read_helicone, may_be_empty=True)
