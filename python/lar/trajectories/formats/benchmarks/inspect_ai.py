"""inspect_ai: the samples of a log, JSON or `.eval` (a zip archive with a file for each sample).

A sample has its conversation in `messages`, and every call of a model in `events`. The calls that are not in
the conversation (other agents, a context that was compacted, samples without messages) give trajectories of
their own. Calls of scorers are left out: they are the grader's, and not the agent's.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from lar.errors import TrajectoryError
from lar.trajectories.dialects.calls import to_json
from lar.trajectories.dialects.messages import normalize_messages
from lar.trajectories.dialects.parts import texts_of
from lar.trajectories.dialects.tools import parse_tools
from lar.trajectories.draft import Draft, solved
from lar.trajectories.formats.base import Format
from lar.trajectories.layouts.record import Record
from lar.trajectories.raw import as_list, dig, first_object, has, identifier, text_or_none
from lar.trajectories.schema import Tool

# Longer texts of a sample stand apart, and are named by their hash (the second is the older name).
_ATTACHMENTS = ("attachment://", "tc://")
_SCORERS = ("scorer", "scorers")
_GRADERS = ("grader", "scorer", "judge")
_GRADES = {"C": 1.0, "I": 0.0, "P": 0.5, "N": 0.0, "yes": 1.0, "true": 1.0, "no": 0.0, "false": 0.0}

_Raw = dict[str, Any]


class _Sample:
    """A sample whose attachments and pooled messages are put in place as they are asked for."""

    def __init__(self, value: _Raw) -> None:
        self.value = value
        older = value.get("transcript") or {}
        self._events = value.get("events") or older.get("events") or []
        self._attachments = value.get("attachments") or older.get("content") or {}
        pool = value.get("message_pool") or dig(value, "events_data", "messages") or []
        self._pool = self.resolved(pool)
        self._keys: dict[int, str] = {}  # of the pool's messages, by their ids in memory

    def resolved(self, value: Any) -> Any:
        """`value` with attachments in place of their names."""
        if isinstance(value, str) and value.startswith(_ATTACHMENTS):
            name = value.partition("://")[2]
            if isinstance(self._attachments, dict):
                return self._attachments.get(name, value)
            return self._attachments[int(name)] if name.isdecimal() else value
        if isinstance(value, dict):
            return {key: self.resolved(item) for key, item in value.items()}
        return [self.resolved(item) for item in value] if isinstance(value, list) else value

    def _pooled(self, references: Any) -> list[_Raw]:
        """The messages that ranges of the sample's pool name."""
        return [message for start, end in references or () for message in self._pool[start:end]]

    def keys(self, messages: list[_Raw]) -> tuple[str, ...]:
        """What each message holds, to compare histories by."""
        if not self._keys:
            self._keys = {id(message): _key(message) for message in self._pool}
        return tuple(self._keys.get(id(message)) or _key(message) for message in messages)

    def conversation(self) -> list[_Raw]:
        """The sample's messages, with the answer where they lack it; the input and the answer without any."""
        messages: list[_Raw] = self.resolved(self.value.get("messages") or [])
        messages += self._pooled(self.value.get("message_refs"))
        answer = self.resolved(_answer(self.value.get("output")))
        if not messages:
            asked = self.resolved(self.value.get("input"))
            listed = asked if isinstance(asked, list) else [{"role": "user", "content": asked}]
            return [*listed, answer] if answer else []
        ids = {message.get("id") for message in messages} - {None}
        is_new = (
            answer is not None and answer.get("id") not in ids and _key(answer) not in map(_key, messages)
        )
        return [*messages, answer] if answer and is_new and messages[-1]["role"] != "assistant" else messages

    def replies(self) -> Iterator[tuple[_Raw, _Raw]]:
        """Each call of an agent's model, with its reply."""
        for event in _model_events(self._events):
            reply = self.resolved(_answer(event.get("output")))
            if reply is not None:
                yield event, reply

    def history(self, event: _Raw) -> list[_Raw]:
        """The messages that the model got in a call."""
        return list(self.resolved(event.get("input") or [])) + self._pooled(event.get("input_refs"))

    def tools(self, event: _Raw) -> list[Tool] | None:
        """The tools that the model was offered in a call."""
        return parse_tools(self.resolved(event.get("tools") or []))


def _answer(output: Any) -> _Raw | None:
    """The message of a model's output; None where it wrote nothing."""
    message = first_object(dig(output, "choices")).get("message")
    if not isinstance(message, dict) or not (message.get("content") or message.get("tool_calls")):
        return None
    return {**message, "role": "assistant"}


def _model_events(events: list[_Raw]) -> Iterator[_Raw]:
    """The calls of models that no scorer made, also those within older events of tools and subtasks."""
    scoring: set[Any] = set()
    depth = 0
    for event in events:
        kind = event.get("event")
        if kind == "span_begin" and (event.get("type") in _SCORERS or event.get("parent_id") in scoring):
            scoring.add(event.get("id"))
        elif kind == "step" and event.get("type") in _SCORERS:
            depth += 1 if event.get("action") == "begin" else -1
        elif depth > 0 or event.get("span_id") in scoring:
            continue
        elif kind == "model" and event.get("role") not in _GRADERS:
            yield event
        elif isinstance(event.get("events"), list):
            yield from _model_events(event["events"])


def _key(message: _Raw) -> str:
    """What a message holds, without its id and its reasoning, which a model may not see again."""
    content = message.get("content")
    if isinstance(content, list):
        content = "".join(texts_of(content))
    calls = [[call.get("function"), call.get("arguments")] for call in message.get("tool_calls") or ()]
    return to_json([message.get("role"), content, calls])


@dataclass(slots=True)
class _Call:
    """A call of a model: its history with its reply, and what it was offered."""

    messages: list[_Raw]
    tools: list[Tool] | None
    model: str | None
    keys: tuple[str, ...]


def _read(record: Record) -> list[Draft]:
    if "eval" in record.value:
        raise TrajectoryError("an inspect_ai log without samples")
    sample = _Sample(record.value)
    talk = sample.conversation()
    main = _Call(talk, None, None, sample.keys(talk))
    ids = {message.get("id") for message in main.messages if message["role"] == "assistant"} - {None}
    own: list[_Raw] = []
    others: list[_Call] = []
    for event, reply in sample.replies():
        if reply.get("id") in ids:
            own.append(event)
            continue
        messages = [*sample.history(event), reply]
        model = text_or_none(event.get("model"))
        call = _Call(messages, sample.tools(event), model, sample.keys(messages))
        if _is_part(call, main, has_ids=bool(ids)):
            own.append(event)
        else:
            others.append(call)
    if own:
        main.messages = _with_system(main.messages, sample.history(own[0]))
        main.tools = next((tools for event in own if (tools := sample.tools(event))), None)
    found = ([main] if main.messages else []) + _longest(others)
    if not found:
        raise TrajectoryError("a sample without messages, calls of a model and output")
    return [_draft(record, call, number) for number, call in enumerate(found)]


def _is_part(call: _Call, main: _Call, *, has_ids: bool) -> bool:
    """Whether a call stands in the conversation by its history, or by the text of its reply.

    Messages of older logs have no ids.
    """
    if call.keys == main.keys[: len(call.keys)]:
        return True
    return not (has_ids and call.messages[-1].get("id")) and call.keys[-1] in main.keys


def _with_system(main: list[_Raw], history: list[_Raw]) -> list[_Raw]:
    """The conversation with the system messages that the model got and that stand only in its calls."""
    if any(message["role"] == "system" for message in main):
        return main
    return [message for message in history if message["role"] == "system"] + main


def _longest(calls: list[_Call]) -> list[_Call]:
    """The calls that are not the beginning of another one, in their order."""
    order = sorted(range(len(calls)), key=lambda place: calls[place].keys)
    beginnings = {
        place
        for place, after in pairwise(order)
        if calls[after].keys[: len(calls[place].keys)] == calls[place].keys
    }
    return [call for place, call in enumerate(calls) if place not in beginnings]


def _draft(record: Record, call: _Call, number: int) -> Draft:
    value, log = record.value, record.context.get("eval")
    task = text_or_none(dig(log, "task")) or "inspect_ai"
    name = text_or_none(value.get("uuid"))
    return Draft(
        normalize_messages([part for message in call.messages for part in _messages(message)]),
        id=f"{name}/{number}" if name and number else name,
        task=f"{task}/{identifier(value['id'])}",
        success=_success(value),
        model=call.model or text_or_none(dig(log, "model")) or text_or_none(dig(value, "output", "model")),
        tools=call.tools,
        is_call=number > 0,
    )


def _messages(message: _Raw) -> Iterator[_Raw]:
    """A message in a form that chats have; a call that the provider ran becomes a turn of its own."""
    role, content = message["role"], message.get("content")
    calls = [_call(call) for call in message.get("tool_calls") or ()]
    if role == "tool":
        yield _result(message)
        return
    if role != "assistant" or not isinstance(content, list):
        yield {
            "role": role,
            "content": content,
            **({"tool_calls": calls} if calls else {}),
            **_thought(message),
        }
        return
    parts: list[Any] = []
    for part in content:
        if has(part, "arguments", "result") and part.get("type") == "tool_use":
            call = {"id": part.get("id"), "name": part["name"], "arguments": part["arguments"]}
            yield {"role": role, "content": parts, "tool_calls": [call]}
            result = part.get("error") or part["result"]
            yield {"role": "tool", "tool_call_id": part.get("id"), "name": part["name"], "content": result}
            parts = []
        elif not _is_sealed(part):
            parts.append(part)
    if parts or calls:
        yield {"role": role, "content": parts, **({"tool_calls": calls} if calls else {})}


def _call(call: Any) -> _Raw:
    function = call["function"]
    return {"id": call.get("id"), **(function if isinstance(function, dict) else {"name": function})} | (
        {"arguments": call["arguments"]} if "arguments" in call else {}
    )


def _thought(message: _Raw) -> _Raw:
    """The reasoning of older logs, which stands beside the content."""
    reasoning = message.get("reasoning")
    return {"reasoning_content": reasoning} if message["role"] == "assistant" and reasoning else {}


def _is_sealed(part: Any) -> bool:
    """Whether a part has no text of the agent: data of the provider, or reasoning that is encrypted.

    Of encrypted reasoning the summary is read.
    """
    if not isinstance(part, dict):
        return False
    if part.get("type") == "reasoning" and part.get("redacted"):
        part["reasoning"] = part.get("summary") or ""
    return part.get("type") == "data"


def _result(message: _Raw) -> _Raw:
    """A tool's result; after an error the model sees the error."""
    error = message.get("error")
    told = error.get("message") if isinstance(error, dict) else message.get("tool_error")
    return {
        "role": "tool",
        "tool_call_id": message.get("tool_call_id"),
        "name": message.get("function"),
        "content": told or message.get("content"),
    }


def _success(value: _Raw) -> bool | None:
    """Whether every grade is full; numbers count only where the scorers gave no grades."""
    scores = value.get("scores")
    if not isinstance(scores, dict):
        scores = {"score": value.get("score")}
    values = [one for score in scores.values() for one in _values(dig(score, "value"))]
    grades = [value for value in values if isinstance(value, bool | str)]
    found = [known for value in grades or values if (known := _grade(value)) is not None]
    return all(found) if found else None


def _values(value: Any) -> list[Any]:
    return list(value.values()) if isinstance(value, dict) else as_list(value)


def _grade(value: Any) -> bool | None:
    if isinstance(value, str) and (value in _GRADES or value.lower() in _GRADES):
        value = _GRADES.get(value, _GRADES.get(value.lower()))
    return solved(value)


def _recognises(value: Any) -> bool:
    """A sample; or a whole log without any, which is an error of its own."""
    if has(value, "eval", "status", "samples") and has(value["eval"], "task", "model"):
        return not value["samples"]
    return has(value, "id", "epoch", "input", "target") and any(
        key in value for key in ("messages", "message_refs", "events")
    )


FORMAT = Format("inspect_ai", "inspect_ai logs, .eval and JSON", _recognises, _read)
