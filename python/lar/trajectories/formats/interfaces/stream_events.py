"""The events of a stream -> the reply, for each interface that streams messages."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from lar.trajectories.dialects.calls import to_json
from lar.trajectories.dialects.parts import text_in
from lar.trajectories.formats.interfaces.partial_args import join_calls
from lar.trajectories.raw import dig, from_json_text

Event = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Dialect:
    """How one interface streams: which events only it has, and the reply that all events add up to.

    is_end: whether an event ends the reply. assemble: the reply, by the events and whether one of them is the
    end; without it, calls whose arguments are not complete are left out.
    """

    is_mine: Callable[[Event], bool]
    is_end: Callable[[Event], bool]
    assemble: Callable[[list[Event], bool], dict[str, Any]]


def is_complete(arguments: Any) -> bool:
    """Whether the arguments of a call are a whole object; empty text may be the beginning of one."""
    return bool(arguments) and isinstance(from_json_text(arguments), dict)


def without_begun_calls(items: dict[Any, Event], ended: set[Any], is_whole: bool) -> list[Event]:
    """The items of a stream, by their indices, without calls whose end has not come; all if it `is_whole`."""
    return [item for at, item in items.items() if is_whole or at in ended or not _is_begun_call(item)]


def _is_begun_call(item: Event) -> bool:
    kind = str(item.get("type"))
    if kind.endswith("tool_use"):  # Anthropic
        return not is_complete(item.get("input"))
    return kind.endswith("_call") and not is_complete(item.get("arguments"))


def _message(events: list[Event], is_whole: bool) -> dict[str, Any]:
    """A message of Anthropic, its blocks put together; of several messages the first."""
    message: dict[str, Any] = {"role": "assistant", "type": "message"}
    blocks: dict[Any, dict[str, Any]] = {}
    ended = {event.get("index") for event in events if event.get("type") == "content_block_stop"}
    for event in events:
        if event.get("type") == "message_start" and isinstance(event.get("message"), dict):
            if blocks:  # what the client did between two messages is not here
                break
            message |= event["message"]
        elif event.get("type") == "content_block_start" and isinstance(event.get("content_block"), dict):
            blocks[event.get("index")] = dict(event["content_block"])
        elif event.get("type") == "content_block_delta" and isinstance(event.get("delta"), dict):
            delta = event["delta"]
            new = {"type": "thinking" if "thinking" in delta else "text"}
            _extend(blocks.setdefault(event.get("index"), new), delta)
    return message | {"content": without_begun_calls(blocks, ended, is_whole)}


def _extend(block: dict[str, Any], delta: dict[str, Any]) -> None:
    for key in ("text", "thinking", "partial_json"):
        piece = delta.get(key)
        if isinstance(piece, str):
            name = "input" if key == "partial_json" else key
            before = block.get(name)
            block[name] = (before if isinstance(before, str) else "") + piece


def _converse(events: list[Event], is_whole: bool) -> dict[str, Any]:
    """A message of Anthropic from the events of Bedrock's ConverseStream."""
    return _message([one for event in events for one in _anthropic_event(event)], is_whole)


def _anthropic_event(event: Event) -> Iterator[Event]:
    if isinstance(begun := event.get("contentBlockStart"), dict):
        call = begun["start"].get("toolUse")
        if call is not None:
            block = {"type": "tool_use", "id": call.get("toolUseId"), "name": call.get("name")}
            yield _of_block("content_block_start", begun, {"content_block": block})
    elif isinstance(going := event.get("contentBlockDelta"), dict):
        delta = going["delta"]
        pieces = {
            "text": delta.get("text"),
            "thinking": (delta.get("reasoningContent") or {}).get("text"),
            "partial_json": (delta.get("toolUse") or {}).get("input"),
        }
        said = {name: piece for name, piece in pieces.items() if piece is not None}
        if said:
            yield _of_block("content_block_delta", going, {"delta": said})
    elif isinstance(ended := event.get("contentBlockStop"), dict):
        yield _of_block("content_block_stop", ended, {})


def _of_block(kind: str, event: Event, more: Event) -> Event:
    return {"type": kind, "index": event.get("contentBlockIndex"), **more}


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


def _gemini(events: list[Event], is_whole: bool) -> dict[str, Any]:
    """A response of Gemini whose first candidate has the parts of all chunks."""
    response: dict[str, Any] = {}
    parts: list[Any] = []
    for chunk in map(_chunk, events):
        response |= chunk
        for candidate in chunk.get("candidates") or ():
            content = candidate.get("content")
            if not candidate.get("index") and isinstance(content, dict):
                new = content.get("parts") or []
                parts += new if isinstance(new, list) else [new]
    content = {"role": "model", "parts": join_calls(parts, is_whole)}
    return response | {"candidates": [{"content": content}]}


def _chunk(event: Event) -> dict[str, Any]:
    """The chunk in an event; Code Assist puts it under `response`."""
    inner = event.get("response")
    return inner if isinstance(inner, dict) else event


def _is_gemini(event: Event) -> bool:
    candidates = _chunk(event).get("candidates")
    first = candidates[0] if isinstance(candidates, list) and candidates else None
    return isinstance(first, dict) and ("content" in first or "finishReason" in first)


def _has_choice(key: str) -> Callable[[Event], bool]:
    def is_mine(event: Event) -> bool:
        choices = event.get("choices")
        return isinstance(choices, list) and any(isinstance(one, dict) and key in one for one in choices)

    return is_mine


def is_typed(*prefixes: str) -> Callable[[Event], bool]:
    """Whether an event's type begins with one of `prefixes`."""
    return lambda event: str(event.get("type")).startswith(prefixes)


def _ends_message(event: Event) -> bool:
    return event.get("type") == "message_stop" or bool(dig(event, "delta", "stop_reason"))


def _ends_choice(event: Event) -> bool:
    return any(choice.get("finish_reason") for choice in _first_choices([event]))


def _ends_candidate(event: Event) -> bool:
    candidates = _chunk(event).get("candidates") or ()
    return any(one.get("finishReason") for one in candidates if not one.get("index"))


ANTHROPIC = Dialect(is_typed("message_start", "content_block_"), _ends_message, _message)
CONVERSE = Dialect(
    lambda event: "messageStart" in event or "contentBlockDelta" in event,
    lambda event: "messageStop" in event,
    _converse,
)
# By the deltas, because some servers leave out `object`; a stream may also have no choice at all.
CHAT = Dialect(
    lambda event: _has_choice("delta")(event) or event.get("object") == "chat.completion.chunk",
    _ends_choice,
    _completion,
)
TEXT = Dialect(_has_choice("text"), _ends_choice, _completed_text)
OLLAMA = Dialect(_is_ollama, lambda event: event.get("done") is True, _ollama)
GEMINI = Dialect(_is_gemini, _ends_candidate, _gemini)
