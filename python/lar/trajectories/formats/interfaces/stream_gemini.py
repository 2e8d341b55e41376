"""The chunks of Gemini -> the response."""

from typing import Any

from lar.trajectories.formats.interfaces.partial_args import join_calls
from lar.trajectories.formats.interfaces.stream_events import Dialect, Event
from lar.trajectories.raw import as_list, first_object


def _gemini(events: list[Event], is_whole: bool) -> dict[str, Any]:
    """A response of Gemini whose first candidate has the parts of all chunks."""
    response: dict[str, Any] = {}
    parts: list[Any] = []
    for chunk in map(_chunk, events):
        response |= chunk
        for candidate in chunk.get("candidates") or ():
            content = candidate.get("content")
            if not candidate.get("index") and isinstance(content, dict):
                parts += as_list(content.get("parts") or None)
    content = {"role": "model", "parts": join_calls(parts, is_whole)}
    return response | {"candidates": [{"content": content}]}


def _chunk(event: Event) -> dict[str, Any]:
    """The chunk in an event; Code Assist puts it under `response`."""
    inner = event.get("response")
    return inner if isinstance(inner, dict) else event


def _is_gemini(event: Event) -> bool:
    first = first_object(_chunk(event).get("candidates"))
    return "content" in first or "finishReason" in first


def _ends_candidate(event: Event) -> bool:
    candidates = _chunk(event).get("candidates") or ()
    return any(one.get("finishReason") for one in candidates if not one.get("index"))


GEMINI = Dialect(_is_gemini, _ends_candidate, _gemini)
