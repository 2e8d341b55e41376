"""Messages of the Vercel AI SDK's `useChat`, as applications store them: `parts`, or older `toolInvocations`.

One message holds all steps of the agent up to the user's next one: thoughts, texts, calls, results. A step is
one reply of the model, so each is a turn, and its results follow it. A call whose arguments were streaming
when the message was stored is left out. A record is a chat, or a message (rows of a table of messages).
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from lar.trajectories.dialects.calls import to_json
from lar.trajectories.dialects.messages import normalize_messages
from lar.trajectories.dialects.tools import parse_tools
from lar.trajectories.draft import Draft
from lar.trajectories.formats.base import Format
from lar.trajectories.formats.interfaces.conversations import conversations_of
from lar.trajectories.formats.interfaces.fields import MESSAGE_KEYS, success_of, task_of, with_system
from lar.trajectories.layouts.record import Record
from lar.trajectories.raw import dig, first_of, first_text, from_json_text, has, identifier, text_or_none

_ROLES = ("system", "user", "assistant")
_STEP = "step-start"
_TOOLS = ("tool-invocation", "dynamic-tool")  # and tool-NAME
_STREAMING = ("partial-call", "input-streaming")

_Raw = dict[str, Any]


def _parts(message: _Raw) -> list[_Raw]:
    parts = from_json_text(message.get("parts"))
    return [part for part in parts if has(part, "type")] if isinstance(parts, list) else []


def _is_own(message: Any) -> bool:
    """Whether a message has what only the SDK's have: steps, calls with results, or text in parts alone."""
    if not has(message, "role") or message["role"] not in _ROLES:
        return False
    parts = _parts(message)
    if isinstance(message.get("toolInvocations"), list) and "content" in message:
        return True
    if any(part["type"] == _STEP or _invocation(part) for part in parts):
        return True
    return "content" not in message and any(part["type"] == "text" and "text" in part for part in parts)


def messages_of(value: Any) -> list[Any] | None:
    """The messages of a chat, a list or what a record holds; None where none of them is the SDK's."""
    if isinstance(value, dict):
        value = next((value[key] for key in MESSAGE_KEYS if isinstance(value.get(key), list)), None)
    return value if isinstance(value, list) and any(map(_is_own, value)) else None


def _invocation(part: _Raw) -> _Raw | None:
    """The call of a part: {toolName, toolCallId, ...}; None for another part."""
    kind = part["type"]
    call = part.get("toolInvocation", part)
    if not isinstance(kind, str) or not (kind.startswith("tool-") or kind in _TOOLS):
        return None
    if not has(call, "toolCallId", "state"):
        return None
    return call if "toolName" in call else {**call, "toolName": kind.removeprefix("tool-")}


@dataclass(slots=True)
class _Step:
    """One reply of the model, in raw parts, and the results of its calls."""

    number: Any = None
    content: list[_Raw] = field(default_factory=list)
    results: list[_Raw] = field(default_factory=list)
    has_calls: bool = False

    def add(self, call: _Raw) -> None:
        """Add a call and its result, where it has one."""
        given = first_of(call, "args", "input", "rawInput")
        name = call.get("toolCallId")
        self.content.append({"type": "tool_use", "id": name, "name": call["toolName"], "input": given})
        self.has_calls, self.number = True, call.get("step")
        if (answer := _answer(call)) is not None:
            self.results.append({"role": "tool", "tool_call_id": name, "content": answer})

    def turns(self) -> list[_Raw]:
        """The raw messages of the step."""
        return [{"role": "assistant", "content": self.content}, *self.results] if self.content else []


def _answer(call: _Raw) -> str | None:
    """The result of a call as text, an error's text, or why the user refused it; None where there is none."""
    said = (call.get("result"), call.get("output"), call.get("errorText"), dig(call, "approval", "reason"))
    found = next((item for item in said if item is not None), None)
    if found is None:
        return "null" if call["state"] in ("result", "output-available") else None
    return found if isinstance(found, str) else to_json(found)


def raw_turns(message: Any) -> list[_Raw]:
    """The raw messages of one of the SDK's; another message stays as it is."""
    if not isinstance(message, dict) or not ("parts" in message or "toolInvocations" in message):
        return [message]
    parts, said = _parts(message), message.get("content")
    if message.get("role") != "assistant":
        attached = from_json_text(message.get("experimental_attachments")) or []
        content = [_asked(part) for part in parts] or [{"type": "text", "text": said or ""}]
        files = [_asked({"type": "file", **file}) for file in attached if isinstance(file, dict)]
        return [{"role": message.get("role"), "content": content + files}]
    if not any(map(_invocation, parts)):
        old = from_json_text(message.get("toolInvocations")) or []
        parts = [{"type": _TOOLS[0], "toolInvocation": call} for call in old] + parts
    if said and not any(part["type"] == "text" for part in parts):
        parts = [*parts, {"type": "text", "text": said}]
    if message.get("reasoning") and not any(part["type"] == "reasoning" for part in parts):
        parts = [{"type": "reasoning", "text": message["reasoning"]}, *parts]
    return [turn for step in _steps(parts) for turn in step.turns()]


def _steps(parts: list[_Raw]) -> Iterator[_Step]:
    step = _Step()
    for part in parts:
        kind, call = part["type"], _invocation(part)
        later = call is not None and step.has_calls and call.get("step") != step.number
        # The model writes on only when it has read the results.
        if kind == _STEP or later or (step.has_calls and kind in ("text", "reasoning")):
            yield step
            step = _Step()
        if call is not None and call["state"] not in _STREAMING:
            step.add(call)
        elif kind == "text":
            step.content.append(part)
        elif kind == "reasoning":
            step.content.append({"type": "thinking", "thinking": part.get("text") or part.get("reasoning")})
    yield step


def _asked(part: _Raw) -> _Raw:
    """A part of the user's: a text, or a medium by its MIME type."""
    if part["type"] != "file":
        return part
    names = (part.get("mediaType"), part.get("mimeType"), part.get("contentType"))
    return {"type": "image" if any(str(name).startswith("image/") for name in names) else "file"}


def _model(messages: list[Any]) -> str | None:
    return first_text(dig(message, "metadata", "model") for message in messages)


def _draft(messages: list[Any], value: _Raw, **fields: Any) -> Draft:
    raw = [turn for message in messages for turn in raw_turns(message)]
    return Draft(
        normalize_messages(with_system(raw, value)),
        model=text_or_none(value.get("model")) or _model(messages),
        **fields,
    )


def _read(record: Record) -> list[Draft]:
    value = record.value if isinstance(record.value, dict) else {}
    return [
        _draft(
            messages_of(record.value) or [],
            value,
            id=identifier(value.get("id")),
            task=task_of(value),
            success=success_of(value),
            tools=parse_tools(value.get("tools")),
        )
    ]


def _read_lines(record: Record) -> list[Draft]:
    return [
        _draft(one.messages, {}, id=one.name, task=one.name, entries=one.messages, fused_by=one.fused_by)
        for one in conversations_of(record, lambda entry: "role" in entry)
    ]


FORMAT = Format(
    "vercel_ui",
    "Vercel AI SDK's messages of a chat (useChat, versions 4 and 5)",
    lambda value: messages_of(value) is not None,
    _read,
)
LINES = Format(
    "vercel_ui_lines",
    "Vercel AI SDK's messages, one a line or row",
    _is_own,
    _read_lines,
    whole_file=True,
)
