"""What of a raw record is in none of its trajectories: each text that was left out, by its path.

The audit does not depend on the formats. It compares the strings of the record with the texts that came out,
so a format that forgets a field cannot hide it.
"""

import json
import re
from collections.abc import Iterable, Iterator
from functools import cached_property
from typing import Any

from lar.trajectories.dialects.messages import from_json_text, lines_of, strings_of
from lar.trajectories.draft import solved
from lar.trajectories.schema import Trajectory

# Members that name things and hold no text of a conversation.
LABELS = frozenset(
    (
        "role",
        "from",
        "type",
        "object",
        "id",
        "model",
        "name",
        "finish_reason",
        "stop_reason",
        "status",
        "kind",
        "key",  # of an attribute, beside its value
    )
)
# Members that tell the outcome of a run, as text in tables; another text there is none.
_OUTCOMES = frozenset(("success", "resolved", "reward"))
# Names and times that a program gives: no text of a conversation, and many in a log of a session.
_STAMP = re.compile(
    r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}|\d{4}-\d\d-\d\dT[\d:.]+(Z|[+-]\d\d:?\d\d)?"
    r"|(msg|req|resp|call|toolu|fc|rs|chatcmpl)[_-][0-9A-Za-z]{8,}"
)
# A message with no other keys is in the trajectory if its content is.
_PLAIN = frozenset(("role", "content"))
_ATTRIBUTE = frozenset(("key", "value"))  # of a span
# Of a text's lines that are no line of a trajectory, so many are searched within lines; the rest counts as
# left out. A snapshot of a file has thousands, and each search reads all texts.
_SEARCHED = 32
_NUMBER = re.compile(r"\d+")
# Server-sent text, and its lines without a text.
_SENT = re.compile(r"\s*(data|event|id|retry)?:")
_NO_DATA = re.compile(r"event: *[\w.]+$|data: *(\[DONE\])?$|data:[\w.+-]+/[\w.+-]+[;,]")
_Path = tuple[str, ...]


def left_out(value: Any, trajectories: Iterable[Trajectory]) -> dict[str, int]:
    """The texts of the raw record `value` that none of its `trajectories` holds: {path: characters}.

    A path is that of the members, `messages[].content`; list indices and numbers in names do not count. JSON
    within a string is opened. A text counts as held where it stands in a text of a trajectory, as it is or as
    JSON writes it; of a text that was cut into messages, the lines that are missing are counted.
    """
    held = _Held(trajectories)
    counts: dict[str, int] = {}
    for path, characters in _missing(value, (), held):
        name = _name(path)
        counts[name] = counts.get(name, 0) + characters
    return counts


class _Held:
    """The texts of trajectories, to look strings up in."""

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
        self._all: str | None = None
        self._found: dict[str, bool] = {}  # a log says the same again and again

    @cached_property
    def exact(self) -> set[str]:
        """Every text of the trajectories, whole."""
        exact = set(self.names)
        for trajectory in self._trajectories:
            exact.update([message["content"] for message in trajectory.messages])
            for message in trajectory.messages:
                if len(message) > 2:
                    exact.update(strings_of(message))
        return exact

    def holds(self, text: str) -> bool:
        """Whether `text` is one of the texts, whole."""
        return text in self.names or text in self.exact

    def _hold_tool(self, tool: Any) -> None:
        function = tool.get("function", tool)
        for value in (tool, function, *(function.values() if isinstance(function, dict) else ())):
            if isinstance(value, dict | list):
                self.objects.add(id(value))
            elif isinstance(value, str):
                self.names.add(value)

    def missing(self, text: str) -> int:
        """How many characters of `text` the trajectories do not hold."""
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
        texts = (message["content"] for trajectory in self._trajectories for message in trajectory.messages)
        return {line for text in texts for line in text.split("\n")}

    def _has(self, text: str) -> bool:
        if self._all is None:
            self._all = "".join(self._texts())
        if text not in self._found:
            written = json.dumps(text, ensure_ascii=False)[1:-1]
            self._found[text] = text in self._all or (written != text and written in self._all)
        return self._found[text]

    def _texts(self) -> Iterator[str]:
        for trajectory in self._trajectories:
            # The contents on end: a text that was cut into messages stands there whole.
            yield from (message["content"] for message in trajectory.messages)
            for message in trajectory.messages:
                yield "\n"
                yield message.get("reasoning_content", "")
                for call in message.get("tool_calls", ()):
                    yield f"\n{call['function']['arguments']}"
            yield f"\n{trajectory.id}\n{trajectory.task}\n"
            if trajectory.tools:
                yield json.dumps(trajectory.tools, ensure_ascii=False)


def _missing(value: Any, path: _Path, held: _Held) -> Iterator[tuple[_Path, int]]:
    if isinstance(value, dict):
        if id(value) in held.objects:
            return
        if value.keys() == _PLAIN and isinstance(value["content"], str) and value["content"] in held.exact:
            return
        if value.keys() == _ATTRIBUTE and isinstance(value["key"], str):
            yield from _missing(value["value"], (*path, value["key"]), held)
            return
        for key, item in value.items():
            if isinstance(item, dict | list) or (isinstance(item, str) and not _is_label(key, item)):
                yield from _missing(item, (*path, str(key)), held)
    elif isinstance(value, list):
        if id(value) not in held.objects:
            for item in value:
                yield from _missing(item, (*path, "[]"), held)
    elif isinstance(value, str) and value and not held.holds(value) and not _STAMP.fullmatch(value):
        inner = _opened(value)
        if inner is not value:
            yield from _missing(inner, (*path, "(json)"), held)
        elif characters := held.missing(value):
            yield path, characters


def _is_label(key: Any, text: str) -> bool:
    return key in LABELS or (key in _OUTCOMES and solved(text) is not None)


def _opened(text: str) -> Any:
    """The values within a text that is JSON, JSON lines or the events of a stream; else the text itself.

    A line that cannot be read, as the last one of a stream that was cut, stays a text among the values.
    """
    if _SENT.match(text):
        return _sent(text)
    inner = from_json_text(text)
    if inner is not text or not text.startswith("{") or "\n" not in text:
        return inner
    lines = [from_json_text(line) for line in lines_of(text)]
    return text if isinstance(lines[0], str) else lines


def _sent(text: str) -> Any:
    """The data of server-sent text, else the text; the name of an event and an image in a URL have none."""
    lines = [line for line in lines_of(text) if not _NO_DATA.match(line)]
    data = [from_json_text(line[5:].strip()) for line in lines if line.startswith("data:")]
    if lines and all(isinstance(one, str) and one[:1] != "{" for one in data):
        return text
    return data + [line for line in lines if not _SENT.match(line)]


def _name(path: _Path) -> str:
    """`messages[].content`; a number in a name is N, and of `children[].children[].children[]` two are named.

    So a tree of any depth has one path, and so have attributes such as `messages.0.content`.
    """
    steps = [step if step in ("[]", "(json)") else f".{_NUMBER.sub('N', step)}" for step in path]
    kept: list[str] = []
    for step in steps:
        kept.append(step)
        if kept[-6:-4] == kept[-4:-2] == kept[-2:]:  # .children[].children[].children[]
            del kept[-2:]
    return "".join(kept).removeprefix(".") or "(the text itself)"
