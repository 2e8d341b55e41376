"""The context of a session of the Kimi CLI: how the events of its log change it."""

from collections.abc import Iterator
from typing import Any

from lar.trajectories.raw import dig, has

_Raw = dict[str, Any]

_COMPACTED = "compaction_summary"  # the origin of the message that a compaction writes
_TYPED = ("skill_activation", "plugin_command")  # origins that are the user's if a slash command began them


class Context:
    """The messages that the agent reads, as they change: the program's own rules for `wire.jsonl`.

    A message of `append` is as the log has it; a step of the agent is {role, content, toolCalls}. Each part
    of the session in which the context only grew is one of `finished`.
    """

    def __init__(self) -> None:
        self._messages: list[_Raw] = []
        self._known = 0  # so many of the messages are in a finished part as well
        self._parts: list[tuple[list[_Raw], bool]] = []
        self._begins = True  # no part before has a message of this one
        self._steps: dict[Any, _Raw] = {}
        self._open: _Raw | None = None

    def append(self, message: _Raw) -> None:
        """Add a message."""
        self._messages.append(message)

    def add_event(self, event: _Raw) -> None:
        """Add what an event of the loop says.

        All calls of a step are one turn, and their results follow it: a tool may run while the agent still
        writes the next call.
        """
        kind = event.get("type")
        if kind == "step.begin":
            self._begin(event.get("uuid"))
        elif kind == "content.part":
            self._step(event)["content"].append(event["part"])
        elif kind == "tool.call":
            call = {"id": event.get("toolCallId"), "name": event["name"], "arguments": event.get("args")}
            self._step(event)["toolCalls"].append(call)
        elif kind == "tool.result":
            answer = event.get("result")
            content = answer.get("output", answer) if isinstance(answer, dict) else answer
            self._add_result({"role": "tool", "content": content, "toolCallId": event.get("toolCallId")})

    def clear(self) -> None:
        """The user cleared the context."""
        self._replace([])

    def undo(self, count: Any) -> None:
        """The user took the last `count` turns back, but none from before a compaction."""
        place = None
        for at in reversed(range(len(self._messages))):
            if not isinstance(count, int) or count <= 0 or _origin(self._messages[at]) == _COMPACTED:
                break
            if _is_prompt(self._messages[at]):
                place, count = at, count - 1
        if place is None:
            return
        if place >= self._known and not any(map(_is_agents, self._messages[place:])):
            self._messages = self._messages[:place]  # nobody had answered
        else:
            self._replace(self._messages[:place])

    def compact(self, entry: _Raw) -> None:
        """A summary replaced the context, but for some messages: now the user's, once all after a place."""
        text: Any = next((entry[key] for key in ("contextSummary", "summary") if entry.get(key)), None)
        message: _Raw = text if has(text, "role", "content") else {"role": "user", "content": text}
        summary = {**message, "origin": {"kind": _COMPACTED}}
        kept, head = entry.get("keptUserMessageCount"), entry.get("keptHeadUserMessageCount")
        if not isinstance(kept, int):
            count = entry.get("compactedCount", entry.get("count"))
            rest = self._messages[count:] if isinstance(count, int) else []
            self._replace([summary, *rest])
            return
        prompts = [message for message in self._messages if _is_prompt(message)]
        first = min(head, kept) if isinstance(head, int) else 0
        last = min(kept - first, len(prompts) - first)
        self._replace([*prompts[:first], *prompts[len(prompts) - max(last, 0) :], summary])

    def finished(self) -> Iterator[tuple[list[_Raw], bool]]:
        """Yield the parts of the session, each with whether it shares no message with the one before.

        Turns of the agent that an earlier part has are marked by a `weight` of 0.
        """
        if self._parts and not any(map(_is_agents, self._messages[self._known :])):
            last = self._parts[-1][0]  # the agent wrote nothing more: what is new follows what it wrote
            last += [one for one in self._messages if "weight" not in one and one not in last]
        else:
            self._parts.append((self._messages, self._begins))
        yield from self._parts

    def _replace(self, messages: list[_Raw]) -> None:
        """End the part; the context goes on with `messages`."""
        if any(map(_is_agents, self._messages[self._known :])):
            self._parts.append((self._messages, self._begins))
        self._messages = [{**one, "weight": 0} if _is_agents(one) else one for one in messages]
        self._known = len(self._messages)
        self._begins = not self._messages
        self._steps, self._open = {}, None

    def _add_result(self, result: _Raw) -> None:
        """Add a result after its call and the results that this step has."""
        place = len(self._messages)
        for at in reversed(range(len(self._messages))):
            calls = self._messages[at].get("toolCalls") or ()
            if any(call.get("id") == result["toolCallId"] for call in calls):
                place = at + 1
                while place < len(self._messages) and self._messages[place].get("role") == "tool":
                    place += 1
                break
        self._messages.insert(place, result)
        self._known += place < self._known

    def _begin(self, name: Any) -> _Raw:
        self._open = {"role": "assistant", "content": [], "toolCalls": []}
        self._messages.append(self._open)
        if name is not None:
            self._steps[name] = self._open
        return self._open

    def _step(self, event: _Raw) -> _Raw:
        """The step that an event belongs to; one that names none goes on with the last, up to its results."""
        named = self._steps.get(event.get("stepUuid"))
        if named is not None:
            return named
        if self._open is None or self._messages[-1] is not self._open:
            return self._begin(event.get("stepUuid"))
        return self._open


def message_of(message: _Raw) -> _Raw:
    """A message of the context in the form that `normalize_messages` reads."""
    calls = message.get("tool_calls") or message.get("toolCalls") or []
    call_id = message.get("tool_call_id") or message.get("toolCallId")
    named = {"tool_calls": calls, "tool_call_id": call_id}
    weight = {"weight": message["weight"]} if "weight" in message else {}
    return {"role": message["role"], "content": _parts(message.get("content")), **named, **weight}


def _parts(content: Any) -> Any:
    if not isinstance(content, list):
        return content
    return [
        {"type": "thinking", "thinking": part["think"]} if has(part, "think") else part for part in content
    ]


def _origin(message: _Raw) -> Any:
    return dig(message, "origin", "kind")


def _is_prompt(message: _Raw) -> bool:
    """Whether the user wrote a message."""
    kind = _origin(message)
    is_typed = kind in _TYPED and message["origin"].get("trigger") == "user-slash"
    return message.get("role") == "user" and (kind in (None, "user") or is_typed)


def _is_agents(message: _Raw) -> bool:
    """Whether a message is a turn of the agent that says something."""
    said = message.get("content") or message.get("toolCalls") or message.get("tool_calls")
    return message.get("role") == "assistant" and bool(said)
