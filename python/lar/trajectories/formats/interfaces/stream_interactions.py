"""The events of Google's Interactions interface -> the interaction."""

from copy import deepcopy
from typing import Any

from lar.trajectories.formats.interfaces.stream_events import Dialect, Event, without_begun_calls

# Which member of an event begins a step, or a content of the form until June 2026.
_BEGINS = {"step.start": "step", "content.start": "content"}
_GOES_ON = ("step.delta", "content.delta")
_STOPS = ("step.stop", "content.stop")
_ENDS = ("interaction.completed", "interaction.complete")
_STATUSES = ("requires_action", "completed", "failed", "cancelled", "incomplete", "budget_exceeded")
_MEDIA = ("image", "audio", "video", "document")
# The step that a delta belongs to, in a log that has lost the step's beginning.
_OF_DELTA = {"thought_summary": "thought", "thought_signature": "thought", "arguments_delta": "function_call"}


def _interaction(events: list[Event], is_whole: bool) -> dict[str, Any]:
    """The interaction with the steps of its last event, or with what the deltas add up to."""
    interaction: dict[str, Any] = {"object": "interaction"}
    steps: dict[Any, dict[str, Any]] = {}
    ended: set[Any] = set()
    for event in events:
        kind, at = event.get("event_type"), event.get("index")
        if isinstance(event.get("interaction"), dict):
            interaction |= event["interaction"]
        if kind in _BEGINS:
            steps[at] = deepcopy(event.get(_BEGINS[kind]) or {})
        elif kind in _GOES_ON:
            _extend(steps.setdefault(at, {}), event["delta"])
        elif kind in _STOPS:
            ended.add(at)
    if interaction.get("steps") or interaction.get("outputs"):
        return interaction
    return interaction | {"steps": without_begun_calls(steps, ended, is_whole)}


def _extend(step: dict[str, Any], delta: dict[str, Any]) -> None:
    """Add a delta to its step; signatures and citations are no text of the model."""
    kind = str(delta.get("type"))
    own = step.setdefault("type", _OF_DELTA.get(kind, kind))
    if kind == "text":
        _add_text(step, delta.get("text") or "")
    elif kind == "thought_summary":
        step["summary"] = [*(step.get("summary") or ()), delta.get("content")]
    elif kind == "arguments_delta":
        before = step.get("arguments")
        step["arguments"] = (before if isinstance(before, str) else "") + (delta.get("arguments") or "")
    elif kind in _MEDIA and own == "model_output":
        step["content"] = [*(step.get("content") or ()), delta]
    elif kind == own:
        step |= {key: value for key, value in delta.items() if value is not None}


def _add_text(step: dict[str, Any], piece: str) -> None:
    """Add a piece to a text, which is the step itself or the last content of an output."""
    if step["type"] == "text":
        step["text"] = (step.get("text") or "") + piece
        return
    contents = step["content"] = list(step.get("content") or ())
    if not contents or contents[-1].get("type") != "text":
        contents.append({"type": "text", "text": ""})
    contents[-1] = {**contents[-1], "text": (contents[-1].get("text") or "") + piece}


def _is_mine(event: Event) -> bool:
    kind = event.get("event_type")
    if not isinstance(kind, str) or not kind.startswith(("interaction.", "step.", "content.")):
        return False
    return isinstance(event.get("delta", {}), dict)  # another gateway has a text there


def _ends(event: Event) -> bool:
    return event.get("event_type") in _ENDS or event.get("status") in _STATUSES


INTERACTIONS = Dialect(_is_mine, _ends, _interaction)
