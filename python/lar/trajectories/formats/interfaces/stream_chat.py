"""The chunks of OpenAI's chat and older text completions, and of Ollama -> the message."""

from collections.abc import Callable, Iterator
from typing import Any

from lar.trajectories.dialects.calls import to_json
from lar.trajectories.dialects.parts import text_in
from lar.trajectories.formats.interfaces.stream_events import Dialect, Event, is_complete


def _completion(events: list[Event], is_whole: bool) -> dict[str, Any]:
    """A message of OpenAI chat, from the deltas of its first choice."""
    message: dict[str, Any] = {"role": "assistant", "content": ""}
    calls: list[dict[str, Any]] = []
    known: dict[Any, dict[str, Any]] = {}  # the last call of each index
    if name := next((event["id"] for event in events if isinstance(event.get("id"), str)), None):
        message["id"] = name
    for delta in _deltas(events):
        for key in ("content", "reasoning_content", "reasoning", "refusal"):
            if isinstance(delta.get(key), str):
                message[key] = message.get(key, "") + delta[key]
        if isinstance(delta.get("content"), list):
            _add_parts(message, delta["content"])
        for call in delta.get("tool_calls") or ():
            index = call.get("index")
            if _begins_call(call, known.get(index)):
                calls.append({"id": None, "name": "", "arguments": ""})
                known[index] = calls[-1]
            _extend_call(known[index], call)
        if isinstance(delta.get("function_call"), dict):  # OpenAI's older form: one call, without an id
            older = message.setdefault("function_call", {"name": "", "arguments": ""})
            _extend_call(older, {"function": delta["function_call"]})
    if not is_whole:
        calls = [call for call in calls if is_complete(call["arguments"])]
        if not is_complete(message.get("function_call", {}).get("arguments")):
            message.pop("function_call", None)
    return message | ({"tool_calls": calls} if calls else {})


def _add_parts(message: dict[str, Any], parts: list[Any]) -> None:
    """Add the parts of a delta (Mistral): texts to the content, the others to the reasoning."""
    for part in parts:
        if isinstance(part, dict):
            key = "content" if part.get("type") == "text" else "reasoning_content"
            message[key] = message.get(key, "") + text_in(part)


def _deltas(events: list[Event]) -> Iterator[dict[str, Any]]:
    for choice in _first_choices(events):
        if isinstance(choice.get("delta"), dict):
            yield choice["delta"]


def _first_choices(events: list[Event]) -> Iterator[dict[str, Any]]:
    """The first choice of each event of an OpenAI stream that has it."""
    for event in events:
        for choice in event.get("choices") or ():
            if not choice.get("index"):
                yield choice


def _begins_call(delta: dict[str, Any], known: dict[str, Any] | None) -> bool:
    """Whether a delta begins a call, where `known` is the last one of its index.

    Some servers give every call the index 0, or none, so an id tells calls apart; without both a name does.
    """
    if known is None:
        return True
    if delta.get("id"):
        return bool(known["id"]) and delta["id"] != known["id"]
    return delta.get("index") is None and bool((delta.get("function") or {}).get("name"))


def _extend_call(call: dict[str, Any], delta: dict[str, Any]) -> None:
    function = delta.get("function") or {}
    call["id"] = call.get("id") or delta.get("id")
    call["name"] += function.get("name") or ""
    arguments = function.get("arguments") or ""
    call["arguments"] += arguments if isinstance(arguments, str) else to_json(arguments)


def _completed_text(events: list[Event], is_whole: bool) -> dict[str, Any]:  # noqa: ARG001
    """A message from the pieces of OpenAI's older text completions; of several completions the first."""
    pieces: list[str] = []
    for choice in _first_choices(events):
        pieces.append(choice.get("text") or "")
        if choice.get("finish_reason"):
            break
    return {"role": "assistant", "content": "".join(pieces)}


def _ollama(events: list[Event], is_whole: bool) -> dict[str, Any]:  # noqa: ARG001 (its calls come whole)
    """A message of Ollama, from pieces of its chat (`message`) or of its completions (`response`)."""
    message: dict[str, Any] = {"role": "assistant", "content": ""}
    for event in filter(_is_ollama, events):
        piece = event.get("message") or {"content": event.get("response"), "thinking": event.get("thinking")}
        for key in ("content", "thinking"):
            message[key] = message.get(key, "") + (piece.get(key) or "")
        if piece.get("tool_calls"):
            message["tool_calls"] = [*message.get("tool_calls", ()), *piece["tool_calls"]]
        if event["done"]:
            break
    return message


def _is_ollama(event: Event) -> bool:
    said = isinstance(event.get("message"), dict) or isinstance(event.get("response"), str)
    return said and "model" in event and isinstance(event.get("done"), bool)


def _has_choice(key: str) -> Callable[[Event], bool]:
    def is_mine(event: Event) -> bool:
        choices = event.get("choices")
        return isinstance(choices, list) and any(isinstance(one, dict) and key in one for one in choices)

    return is_mine


def _ends_choice(event: Event) -> bool:
    return any(choice.get("finish_reason") for choice in _first_choices([event]))


# By the deltas, because some servers leave out `object`; a stream may also have no choice at all.
CHAT = Dialect(
    lambda event: _has_choice("delta")(event) or event.get("object") == "chat.completion.chunk",
    _ends_choice,
    _completion,
)
TEXT = Dialect(_has_choice("text"), _ends_choice, _completed_text)
OLLAMA = Dialect(_is_ollama, lambda event: event.get("done") is True, _ollama)
