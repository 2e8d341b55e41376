"""Batches of OpenAI (Batch API) and Anthropic (Message Batches): a request with its result.

The service gives requests and results in files of their own. `lar.trajectories.batches` joins their lines to
records {batch_request, batch_result}, or {batch_request, batch_problem} where there is no answer.
"""

from dataclasses import replace
from typing import Any

from lar.errors import TrajectoryError
from lar.trajectories.draft import Draft
from lar.trajectories.formats.base import Format
from lar.trajectories.formats.interfaces import anthropic, chat, responses
from lar.trajectories.layouts.record import Record
from lar.trajectories.raw import has, identifier

_READERS = (responses.FORMAT, anthropic.FORMAT, chat.FORMAT)
_ENDS = ("succeeded", "errored", "canceled", "expired")  # of a request to Anthropic


def is_request(value: Any) -> bool:
    """Whether a line is a request of a batch: {custom_id, body} or {custom_id, params}."""
    if not has(value, "custom_id") or "response" in value or "result" in value:
        return False
    return isinstance(value.get("body"), dict) or isinstance(value.get("params"), dict)


def is_result(value: Any) -> bool:
    """Whether a line is a result of a batch: {custom_id, response, error} or {custom_id, result}."""
    if not has(value, "custom_id") or any(key in value for key in ("body", "params", "messages", "request")):
        return False
    if has(value.get("result"), "type"):
        return value["result"]["type"] in _ENDS
    response = value.get("response")
    return "response" in value and "error" in value and (response is None or has(response, "body"))


def failure_of(result: dict[str, Any]) -> str | None:
    """Why a result of a batch has no answer, in a word or two; None where it has one."""
    if "result" in result:
        end = result["result"]
        if end["type"] == "succeeded":
            return None if isinstance(end.get("message"), dict) else "no message"
        return _with_kind(end["type"], end.get("error"))
    response, error = result["response"], result["error"]
    if error or response is None:
        return _with_kind("error", error)
    body, status = response["body"], response.get("status_code")
    if isinstance(body, dict) and not body.get("error") and (not isinstance(status, int) or status < 400):
        return None
    return _with_kind(f"status {status}", body)


def _with_kind(end: str, error: Any) -> str:
    """How a request ended, with the code or the type of an error, which services wrap."""
    while isinstance(error, dict) and isinstance(error.get("error"), dict):
        error = error["error"]
    kinds = (error.get(key) for key in ("code", "type")) if isinstance(error, dict) else ()
    kind = next((kind for kind in kinds if isinstance(kind, str)), None)
    return end if kind is None else f"{end}, {kind}"


def _recognises(value: Any) -> bool:
    return has(value, "batch_request") or is_result(value) or is_request(value)


def _read(record: Record) -> list[Draft]:
    if is_result(record.value):
        raise TrajectoryError("a result of a batch without its request: give the file of the requests too")
    if is_request(record.value):
        raise TrajectoryError("a request of a batch without its result: give the file of the results too")
    request, result = record.value["batch_request"], record.value.get("batch_result")
    if result is None:
        raise TrajectoryError(record.value.get("batch_problem"))
    reply = result["result"]["message"] if "result" in result else result["response"]["body"]
    drafts = _drafts(record, {"request": _body(request), "response": reply})
    name = identifier(request["custom_id"])
    return [replace(draft, id=name, entries=(request, result)) for draft in drafts]


def _body(request: dict[str, Any]) -> dict[str, Any]:
    body: dict[str, Any] = request["body"] if isinstance(request.get("body"), dict) else request["params"]
    return body


def _drafts(record: Record, value: dict[str, Any]) -> list[Draft]:
    reader = next((one for one in _READERS if one.recognises(value)), None)
    if reader is None:
        raise TrajectoryError("a request of a batch that holds no conversation")
    return reader.read(replace(record, value=value, format=None))


FORMAT = Format(
    "batch",
    "Batches of OpenAI and Anthropic, files of requests and of results",
    _recognises,
    _read,
)
