"""What of a raw record is in none of its trajectories: each text that was left out, by its path.

The audit does not depend on the formats. It compares the strings of the record with the texts that came out,
so a format that forgets a field cannot hide it.
"""

import re
from collections.abc import Iterable
from typing import Any

from lar.trajectories.dialects.masked import is_marker
from lar.trajectories.dialects.utf8 import repaired
from lar.trajectories.draft import solved
from lar.trajectories.held import Held
from lar.trajectories.raw import from_json_text, lines_of
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
        "event_type",
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
# Who the agent is in a raw message, and where its own texts stand.
_AGENT = frozenset(("assistant", "model", "gpt", "ai"))
_SAID = frozenset(
    ("content", "text", "value", "reasoning_content", "reasoning", "thinking", "tool_plan", "refusal")
)
_REPLIES = frozenset(("choices", "completions", "generations"))
# The same in a record that has the conversation beside them; elsewhere they may be a tool's.
_ANSWERS = frozenset(("response", "completion", "reply", "generation", "output"))
_ASKED = ("messages", "prompt", "request", "input", "contents")
_OTHERS = frozenset(("human", "system", "tool", "user_input"))  # LangChain's messages, Google's steps
_RESULTS = ("_result", "-result", "_call_output")
# What holds calls, and what a call holds.
_CALLS = frozenset(
    ("tool_calls", "toolCalls", "tool_call", "toolCall", "function_call", "functionCall", "toolUse")
)
_CALL_TYPES = ("_call", "tool_use", "tool-call", "toolCall", "_approval_request")
_NAMES = ("name", "tool_name", "toolName")
_ARGUMENTS = ("arguments", "args", "input", "parameters", "action")
_CONTAINERS = (dict, list)
_NUMBER = re.compile(r"\d+")
_HALVES = " (half a character)"  # behind the path of a text in which U+FFFD stands for these
# An image and the like in a URL; server-sent text, and its lines without a text.
_MEDIUM = re.compile(r"data:[\w.+-]+/[\w.+-]+[;,]")
_SENT = re.compile(r"\s*(data|event|id|retry)?:")
_NO_DATA = re.compile(r"event: *[\w.]+$|data: *(\[DONE\])?$|data:[\w.+-]+/[\w.+-]+[;,]")
_Path = tuple[str, ...]


class Audit:
    """Walks through raw records and counts what is missing in the trajectories that are made of them.

    Whether a value `is_own`, the agent's, is None where nothing around it says so.
    """

    def __init__(self, trajectories: Iterable[Trajectory]) -> None:
        self._held = Held(trajectories)
        self._counts: dict[str, int] = {}
        self._names: dict[_Path, str] = {}
        # What is missing of texts without others in them. A log says the same again and again.
        self._known: dict[tuple[str, bool | None, bool], int] = {}

    def left_out(self, value: Any) -> dict[str, int]:
        """The texts of the raw record `value` that no trajectory holds: {path: characters}.

        A path is that of the members, `messages[].content`; list indices and numbers in names do not count.
        JSON within a string is opened. A text counts as held where it stands in a text of a trajectory, as it
        is or as JSON writes it; of a text that was cut into messages, the lines that are missing are counted.
        Halves of characters, for which a trajectory has U+FFFD, are counted at a path of their own.
        """
        self._counts = {}
        self._value(value, (), is_own=None)
        return self._counts

    def _miss(self, path: _Path, characters: int) -> None:
        if characters:
            name = self._names.get(path) or self._names.setdefault(path, _name(path))
            self._counts[name] = self._counts.get(name, 0) + characters

    def _value(self, value: Any, path: _Path, *, is_own: bool | None) -> None:
        if isinstance(value, str):
            if value:
                self._text(value, path, is_own=is_own)
        elif isinstance(value, dict):
            if id(value) not in self._held.objects:
                self._object(value, path, is_own=is_own)
        elif isinstance(value, list) and id(value) not in self._held.objects:
            inside = (*path, "[]")
            for item in value:
                self._value(item, inside, is_own=is_own)

    def _object(self, value: dict[Any, Any], path: _Path, *, is_own: bool | None) -> None:
        is_own = _is_agents(value, is_own=is_own)
        exact = (self._held.own if is_own else self._held.all).exact
        if value.keys() == _PLAIN and isinstance(value["content"], str) and value["content"] in exact:
            return
        if "role" in value and self._held.has(value):
            return
        if value.keys() == _ATTRIBUTE and isinstance(value["key"], str):
            self._value(value["value"], (*path, value["key"]), is_own=is_own)
            return
        if is_own is not False and _is_call(value, path):
            self._call(value, path)
        for key, item in value.items():
            owner = True if is_own is None and _is_reply(key, value, path) else is_own
            if isinstance(item, str):
                if _is_label(key, item) or (owner is is_own and item in exact):
                    continue
            elif not isinstance(item, _CONTAINERS):
                continue
            self._value(item, (*path, str(key)), is_own=owner)

    def _text(self, value: str, path: _Path, *, is_own: bool | None) -> None:
        is_said = bool(is_own) and _is_said(path)
        known = self._known.get((value, is_own, is_said))
        if known is not None:
            self._miss(path, known)
            return
        texts = self._held.own if is_said else self._held.all
        if texts.holds(value) or _STAMP.fullmatch(value) or is_marker(value):
            return
        if is_own and _MEDIUM.match(value):  # elsewhere a word stands for it, which is counted apart
            self._miss(path, len(value))
            return
        whole = repaired(value)
        is_broken = whole is not value
        if is_broken and texts.missing(whole) < len(whole):
            self._miss((*path, _HALVES), sum(map(str.__ne__, whole, value)))
            value = whole
        inner = _opened(value)
        if inner is not value:
            self._value(inner, (*path, "(json)"), is_own=is_own)
            return
        missing = texts.missing(value)
        if not is_broken:
            self._known[value, is_own, is_said] = missing
        self._miss(path, missing)

    def _call(self, value: dict[Any, Any], path: _Path) -> None:
        """Count what is missing of a call's name and of the numbers in it; texts are looked up as others."""
        function = value.get("function")
        if isinstance(function, dict):
            value, path = function, (*path, "function")
        name = next((key for key in _NAMES if isinstance(value.get(key), str)), None)
        arguments = next((key for key in _ARGUMENTS if value.get(key)), "arguments")
        named, numbers = self._held.missing_call(None if name is None else value[name], value.get(arguments))
        self._miss((*path, str(name)), named)
        self._miss((*path, arguments), numbers)


def _is_agents(value: dict[Any, Any], *, is_own: bool | None) -> bool | None:
    """Whether an object is the agent's, as it says itself, or else as that around it does.

    A message of someone else may hold the one that a simulator's model wrote for it. Of several speakers with
    names, the role does not say which is the agent.
    """
    role, kind = value.get("role", value.get("from")), value.get("type")
    if isinstance(kind, str) and (kind in _OTHERS or kind.endswith(_RESULTS)):
        return False
    if is_own is False or not isinstance(role, str):
        return is_own
    if role.lower() not in _AGENT:
        return False
    return is_own if isinstance(value.get("name"), str) else True


def _is_reply(key: Any, value: dict[Any, Any], path: _Path) -> bool:
    """Whether a member of `value` is the agent's reply, whatever it says itself."""
    return key in _REPLIES or (key in _ANSWERS and not path and any(map(value.get, _ASKED)))


def _is_call(value: dict[Any, Any], path: _Path) -> bool:
    kind = value.get("type")
    return (isinstance(kind, str) and kind.endswith(_CALL_TYPES)) or _member(path) in _CALLS


def _is_said(path: _Path) -> bool:
    """Whether a string of the agent's stands where its texts do; another may be a name or a time."""
    return _member(path) in _SAID | _REPLIES or (path[0] in _ANSWERS and _member(path[1:]) == "")


def _member(path: _Path) -> str:
    """The last member on a path, with which the elements of its list and the JSON in it are named too."""
    return next((step for step in reversed(path) if step not in ("[]", "(json)")), "")


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
    steps = [step if step in ("[]", "(json)", _HALVES) else f".{_NUMBER.sub('N', step)}" for step in path]
    kept: list[str] = []
    for step in steps:
        kept.append(step)
        if kept[-6:-4] == kept[-4:-2] == kept[-2:]:  # .children[].children[].children[]
            del kept[-2:]
    return "".join(kept).removeprefix(".") or "(the text itself)"
