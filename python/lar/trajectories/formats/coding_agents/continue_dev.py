"""Sessions of Continue (`sessions/*.json`): a history of messages, each with what the editor added to it.

The content of `contextItems` stands before the user's text, as the model read it. A thought (role `thinking`)
belongs to the turn after it. A tool's result is a message, or the output of the call's state.
"""

from typing import Any

from lar.trajectories.dialects.messages import normalize_messages
from lar.trajectories.draft import Draft
from lar.trajectories.formats.base import Format
from lar.trajectories.layouts.record import Record
from lar.trajectories.raw import first_object, has, text_or_none

_Raw = dict[str, Any]


def _recognises(value: Any) -> bool:
    history = value.get("history") if has(value, "sessionId", "history") else None
    return has(first_object(history), "message")


def _read(record: Record) -> list[Draft]:
    value = record.value
    raw: list[_Raw] = []
    thoughts: list[Any] = []
    answered = {item["message"].get("toolCallId") for item in value["history"]}
    for item in value["history"]:
        message = item["message"]
        role = message.get("role")
        if role == "thinking":
            thoughts.append(message.get("content"))
            continue
        if role == "user":
            raw.append({"role": role, "content": _context(item) + _parts(message)})
        elif role == "assistant":
            calls = message.get("toolCalls") or [
                state["toolCall"] for state in item.get("toolCallStates") or [] if state.get("toolCall")
            ]
            thought = {"reasoning_content": thoughts} if thoughts else {}
            raw.append({"role": role, "content": _parts(message), "tool_calls": calls, **thought})
            raw += [state for state in _outputs(item) if state["tool_call_id"] not in answered]
            thoughts = []
        else:
            raw.append({**message, "tool_call_id": message.get("toolCallId")})
    model = text_or_none(value.get("chatModelTitle"))
    return [Draft(normalize_messages(raw), id=text_or_none(value["sessionId"]), model=model)]


def _parts(message: _Raw) -> list[Any]:
    content = message.get("content")
    parts = content if isinstance(content, list) else [{"type": "text", "text": content or ""}]
    return [{**part, "type": "image"} if has(part, "imageUrl") else part for part in parts]


def _context(item: _Raw) -> list[_Raw]:
    """What the editor put before the user's text."""
    texts = (context.get("content") for context in item.get("contextItems") or [])
    return [{"type": "text", "text": f"{text}\n\n"} for text in texts if text]


def _outputs(item: _Raw) -> list[_Raw]:
    """The results of an item's calls, out of their states."""
    results = []
    for state in item.get("toolCallStates") or []:
        output = state.get("output")
        if output:
            texts = [output] if isinstance(output, str) else [part.get("content") or "" for part in output]
            content = "\n\n".join(texts)
            results.append({"role": "tool", "tool_call_id": state.get("toolCallId"), "content": content})
    return results


FORMAT = Format("continue", "Continue session", _recognises, _read)
