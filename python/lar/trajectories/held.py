"""What trajectories hold, texts and calls, to look the strings and calls of raw records up in."""

import json
from collections.abc import Iterable, Iterator
from functools import cached_property
from typing import Any

from lar.trajectories.dialects.messages import strings_of
from lar.trajectories.raw import from_json_text
from lar.trajectories.schema import Message, Trajectory

# Of a text's lines that are no line of a trajectory, so many are searched within lines; the rest counts as
# left out. A snapshot of a file has thousands, and each search reads all texts.
_SEARCHED = 32


class Held:
    """The texts and calls of trajectories.

    all: texts of anyone, with the names and tools of the trajectories. own: those of the agent alone.
    """

    def __init__(self, trajectories: Iterable[Trajectory]) -> None:
        self._trajectories = list(trajectories)
        self.names: set[str] = set()
        self.objects: set[int] = set()  # ids of raw objects that the trajectories hold as they are
        for trajectory in self._trajectories:
            self.names.update(
                (trajectory.id, trajectory.task, trajectory.model or "", trajectory.source or "")
            )
            for tool in trajectory.tools or ():
                self._hold_tool(tool)
        messages = [message for trajectory in self._trajectories for message in trajectory.messages]
        own = [message for message in messages if message["role"] == "assistant"]
        self.all = _Texts(messages, self.names, self._trajectories)
        self.own = _Texts(own, set(), [])
        self._messages = messages

    def _hold_tool(self, tool: Any) -> None:
        function = tool.get("function", tool)
        for value in (tool, function, *(function.values() if isinstance(function, dict) else ())):
            if isinstance(value, dict | list):
                self.objects.add(id(value))
            elif isinstance(value, str):
                self.names.add(value)

    def has(self, message: dict[Any, Any]) -> bool:
        """Whether a raw message is one of the messages, but for members that are null."""
        told = {"content": ""} | {name: value for name, value in message.items() if value is not None}
        return told in self._by_key.get(_key(told), ())

    @cached_property
    def _by_key(self) -> dict[Any, list[Message]]:
        found: dict[Any, list[Message]] = {}
        for message in self._messages:
            found.setdefault(_key(message), []).append(message)
        return found

    def missing_call(self, name: str | None, arguments: Any) -> tuple[int, int]:
        """How many characters of a call's name, and of the numbers in its arguments, no call holds.

        One name may be a part of the other, which has that of a server too; without a name any call will do.
        A call that a program read out of the agent's text is held by that text.
        """
        held = [calls for known, calls in self._calls.items() if not name or name in known or known in name]
        numbers = frozenset(_numbers_in(arguments))
        if any(numbers in calls or any(numbers <= one for one in calls) for calls in held):
            return 0, 0
        is_text = isinstance(arguments, str) and arguments and from_json_text(arguments) is arguments
        if is_text and not self.own.missing(arguments):
            return 0, 0
        return 0 if held else len(name or ""), sum(map(len, numbers))

    @cached_property
    def _calls(self) -> dict[str, set[frozenset[str]]]:
        """The numbers in the arguments of each call, by its name."""
        calls: dict[str, set[frozenset[str]]] = {}
        for message in self._messages:
            for call in message.get("tool_calls", ()):
                numbers = _numbers_in(call["function"]["arguments"])
                calls.setdefault(call["function"]["name"], set()).add(frozenset(numbers))
        return calls


def _key(message: Any) -> tuple[str, ...] | None:
    """What few messages of a conversation have in common; None for what is no message of this package."""
    content, calls = message["content"], message.get("tool_calls", [])
    if not isinstance(content, str) or not isinstance(calls, list):
        return None
    return content, *(str(call.get("id")) for call in calls if isinstance(call, dict))


class _Texts:
    """The texts of messages, and `names`, to look strings up in; of `trajectories` names and tools too."""

    def __init__(self, messages: list[Message], names: set[str], trajectories: list[Trajectory]) -> None:
        self._messages = messages
        self._names = names
        self._trajectories = trajectories
        self._found: dict[str, bool] = {}  # a log says the same again and again

    @cached_property
    def exact(self) -> set[str]:
        """Every text, whole."""
        exact = self._names | {message["content"] for message in self._messages}
        for message in self._messages:
            if len(message) > 2:
                exact.update(strings_of(message))
        return exact

    def holds(self, text: str) -> bool:
        """Whether `text` is one of the texts, whole."""
        return text in self._names or text in self.exact

    def missing(self, text: str) -> int:
        """How many characters of `text` the texts do not hold."""
        if text in self.exact or text.strip() in self.exact or self._has(text):
            return 0
        if "\n" not in text:
            return len(text)
        unknown = [line for line in text.split("\n") if line not in self._lines]
        return sum(len(line) for line in unknown[_SEARCHED:]) + sum(
            len(line) for line in unknown[:_SEARCHED] if not self._has(line)
        )

    @cached_property
    def _lines(self) -> set[str]:
        """Every line of the texts."""
        return {line for message in self._messages for line in message["content"].split("\n")}

    @cached_property
    def _all(self) -> str:
        return "".join(self._written())

    def _written(self) -> Iterator[str]:
        # The contents on end: a text that was cut into messages stands there whole.
        yield from (message["content"] for message in self._messages)
        for message in self._messages:
            yield "\n"
            yield message.get("reasoning_content", "")
            for call in message.get("tool_calls", ()):
                yield f"\n{call['function']['arguments']}"
        for trajectory in self._trajectories:
            yield f"\n{trajectory.id}\n{trajectory.task}\n"
            if trajectory.tools:
                yield json.dumps(trajectory.tools, ensure_ascii=False)

    def _has(self, text: str) -> bool:
        if text not in self._found:
            written = json.dumps(text, ensure_ascii=False)[1:-1]
            self._found[text] = text in self._all or (written != text and written in self._all)
        return self._found[text]


def _numbers_in(arguments: Any) -> Iterator[str]:
    """The numbers and truth values anywhere in a call's arguments; `4.0` is `4`, for programs rewrite it."""
    value = from_json_text(arguments)
    if isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            if not isinstance(item, str):
                yield from _numbers_in(item)
    elif isinstance(value, bool | int | float):
        yield json.dumps(int(value) if isinstance(value, float) and value.is_integer() else value)
