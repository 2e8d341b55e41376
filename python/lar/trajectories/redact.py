"""Trajectories without private values: e-mail addresses, phone numbers, keys, tokens and passwords.

A value becomes the placeholder of its kind, `<EMAIL>`, and equal values get no number. So the redacted text
is a function of the text alone: what recurs in a log still recurs, in whichever process or file it is read. A
number by first appearance would make one text two, and a digest of an address or a phone number can be found
by trying all of them. What is lost: two addresses in one run are no longer told apart.

Names must stay apart (a run's id, its task, a call's id). One that holds a private value gets a digest behind
its placeholder, under a random key that is never written. Equal names stay equal within one import only.
"""

import hashlib
import json
import re
import secrets
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace
from itertools import groupby
from typing import Any

from lar.trajectories.dialects.calls import to_json
from lar.trajectories.schema import Message, ToolCall, Trajectory
from lar.trajectories.sensitive import Detector, Span, merged
from lar.trajectories.tasks import asked, first_message_task, words_of

_Find = Callable[[str], list[Span]]

_PASSES = 5  # at most: a value that only shows when another is replaced is found by the next pass
_DISTINCT = 8  # fewest characters of a value that is replaced wherever it stands, not only where it was found
_WORDS = 6  # fewest characters of a value in the words of a question
_DIGEST = re.compile(r"\b(first_message|question):[0-9a-f]{16}$")
_LITERAL = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*"|-?\d[\d.eE+-]*+', re.DOTALL)
_COLON = re.compile(r"\s*:")


class Redactor:
    """Replaces private values in trajectories; `counts` has the number of values replaced, by kind.

    `region` is that of `Detector`. The redactor can be sent to other processes: it gives equal names there,
    and counts for itself.

    Raises:
        MissingExtraError: the extra `redact` is not installed.

    >>> Redactor().text("Write to jane@example.com or ring 555-123-4567.")
    'Write to <EMAIL> or ring <PHONE>.'
    """

    def __init__(self, region: str = "US") -> None:
        self.counts: Counter[str] = Counter()
        self._key = secrets.token_bytes(16)
        self._detector = Detector(region)

    def __getstate__(self) -> dict[str, Any]:
        return {"counts": self.counts, "_key": self._key, "region": self._detector.region}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.counts, self._key = state["counts"], state["_key"]
        self._detector = Detector(state["region"])

    def __call__(self, trajectory: Trajectory) -> Trajectory:
        """Return the trajectory without its private values; itself where it has none."""
        for _ in range(_PASSES):
            redacted = self._pass(trajectory)
            if redacted == trajectory:
                return trajectory
            trajectory = redacted
        return trajectory

    def text(self, text: str) -> str:
        """Return `text` without its private values; JSON text stays JSON text."""
        return self._rewrite(text, self._detector.find)

    def _pass(self, trajectory: Trajectory) -> Trajectory:
        """Replace what the patterns find, then what was found in other places, where no pattern finds it."""
        values: dict[str, str] = {}
        words: dict[str, str] = {}

        def by_pattern(text: str) -> list[Span]:
            spans = self._detector.find(text)
            for start, end, kind in spans:
                values.update((form, kind) for form in self._forms(text[start:end], kind))
                words[words_of(text[start:end])] = kind
            return spans

        trajectory = self._mapped(trajectory, by_pattern)
        if values:
            trajectory = self._mapped(trajectory, _finder(values))
        words = {value: kind for value, kind in words.items() if len(value) >= _WORDS}
        if words and "question:" in trajectory.task:
            trajectory = replace(trajectory, task=self._name(trajectory.task, _finder(words)))
        return trajectory

    def _forms(self, value: str, kind: str) -> list[str]:
        """How else a found value may be written where no pattern finds it."""
        if kind == "PHONE":
            number = self._detector.number(value)
            national = re.sub(r"\D", "", value) if number is None else str(number.national_number)
            country = "" if number is None else str(number.country_code)
            return [form for form in (national, country + national) if len(form) >= _DISTINCT]
        if kind == "PRIVATE_KEY":
            return re.findall(r"[A-Za-z0-9+/=]{16,}", value)
        common = kind == "EMAIL" or (kind == "PASSWORD" and not re.search(r"\d", value))
        return [] if common or len(value) < _DISTINCT else [value]

    def _mapped(self, trajectory: Trajectory, find: _Find) -> Trajectory:
        """The trajectory with what `find` finds replaced in all of its texts and names."""
        tools = trajectory.tools
        if tools:
            text = to_json(tools)
            redacted = self._rewrite(text, find)
            tools = tools if redacted == text else json.loads(redacted)
        messages = [self._message(message, find) for message in trajectory.messages]
        return Trajectory(
            id=self._name(trajectory.id, find),
            task=self._task(trajectory, messages, find),
            messages=messages,
            success=trajectory.success,
            model=trajectory.model and self._rewrite(trajectory.model, find),
            source=trajectory.source and self._rewrite(trajectory.source, find),
            tools=tools,
        )

    def _message(self, message: Message, find: _Find) -> Message:
        redacted: dict[str, Any] = dict(message)
        for key, value in message.items():
            if key == "tool_call_id":
                redacted[key] = self._name(str(value), find)
            elif key != "role" and isinstance(value, str):
                redacted[key] = self._rewrite(value, find)
        if calls := message.get("tool_calls"):
            redacted["tool_calls"] = [self._call(call, find) for call in calls]
        result: Any = redacted
        return result  # type: ignore[no-any-return]

    def _call(self, call: ToolCall, find: _Find) -> ToolCall:
        function = call["function"]
        return {
            "id": None if call["id"] is None else self._name(call["id"], find),
            "type": "function",
            "function": {
                "name": self._rewrite(function["name"], find),
                "arguments": self._rewrite(function["arguments"], find),
            },
        }

    def _task(self, trajectory: Trajectory, messages: list[Message], find: _Find) -> str:
        """The task's name; a digest of a private text changes, or values could be tried until it fits."""
        task = trajectory.task
        if task == first_message_task(trajectory.messages):
            return first_message_task(messages)
        if (digest := _DIGEST.search(task)) and (asked(trajectory.messages) != asked(messages)):
            return f"{task[: digest.start()]}{digest[1]}:{self._digest(task, 8)}"
        return self._name(task, find)

    def _name(self, name: str, find: _Find) -> str:
        redacted = self._rewrite(name, find)
        return name if redacted == name else f"{redacted}:{self._digest(name, 6)}"

    def _digest(self, text: str, size: int) -> str:
        return hashlib.blake2b(text.encode(), key=self._key, digest_size=size).hexdigest()

    def _rewrite(self, text: str, find: _Find) -> str:
        spans = find(text)
        if (spans or "\\u00" in text or "\\/" in text) and _is_json(text):  # both may hide an address
            return self._rewrite_json(text, spans, find)
        return self._replace(text, spans)

    def _replace(self, text: str, spans: list[Span]) -> str:
        parts, at = [], 0
        for start, end, kind in spans:
            parts += [text[at:start], f"<{kind}>"]
            at = end
            self.counts[kind] += 1
        return "".join([*parts, text[at:]]) if spans else text

    def _rewrite_json(self, text: str, spans: list[Span], find: _Find) -> str:
        """Replace within the strings of JSON text, and a number by a string; all else stays as it was.

        Keys that differed still differ: the second one to get a placeholder gets a number behind it.
        """
        parts, at, first = [], 0, 0
        keys: dict[str, dict[str, int]] = {}
        for match in _LITERAL.finditer(text):
            while first < len(spans) and spans[first].end <= match.start():
                first += 1
            inside = _clipped(spans, first, *match.span())
            if not inside and "\\" not in match[0]:
                continue
            literal = self._literal(match[0], inside, find)
            if literal == match[0]:
                continue
            if _COLON.match(text, match.end()):
                same = keys.setdefault(literal, {})
                number = same.setdefault(match[0], len(same) + 1)
                literal = literal if number == 1 else f'{literal[:-1]} {number}"'
            parts += [text[at : match.start()], literal]
            at = match.end()
        return "".join([*parts, text[at:]])

    def _literal(self, literal: str, spans: list[Span], find: _Find) -> str:
        """A JSON string or number without the `spans` in it, and without what is found once it is decoded."""
        if literal[0] != '"':
            self.counts[spans[0].kind] += 1
            return f'"<{spans[0].kind}>"'
        if "\\" not in literal:
            return f'"{self._replace(literal[1:-1], _clipped(spans, 0, 1, len(literal) - 1))}"'
        text: str = json.loads(literal)
        redacted = self._rewrite(text, find)
        known = {_decoded(literal[start:end]): kind for start, end, kind in spans}
        if known := {value: kind for value, kind in known.items() if len(value) >= _DISTINCT}:
            redacted = self._replace(redacted, _finder(known)(redacted))
        return literal if redacted == text else json.dumps(redacted, ensure_ascii=literal.isascii())


def _clipped(spans: list[Span], first: int, start: int, end: int) -> list[Span]:
    """The parts of `spans[first:]` between `start` and `end`, counted from `start`."""
    result = []
    while first < len(spans) and spans[first].start < end:
        span = spans[first]
        if span.end > start:
            result.append(Span(max(span.start, start) - start, min(span.end, end) - start, span.kind))
        first += 1
    return result


def _decoded(text: str) -> str:
    """A piece of a JSON string without its escapes; as it is where it was cut within one."""
    try:
        value: str = json.loads(f'"{text.strip(chr(34))}"')
    except ValueError:
        return text
    return value


def _is_json(text: str) -> bool:
    if not text.lstrip().startswith(("{", "[", '"')):
        return False
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _finder(values: dict[str, str]) -> _Find:
    """A function that finds `values` (value -> kind) in a text; a number only where no digit adjoins it."""
    numbers = sorted(value for value in values if value.isdigit())
    others = sorted(value for value in values if value and not value.isdigit())
    patterns = [rf"(?<!\d){_any_of(numbers)}(?!\d)"] if numbers else []
    patterns += [_any_of(others)] if others else []
    pattern = re.compile("|".join(patterns))

    def find(text: str) -> list[Span]:
        return merged(Span(*match.span(), values[match[0]]) for match in pattern.finditer(text))

    return find


def _any_of(words: Iterable[str]) -> str:
    """A pattern of any of the sorted `words`, as a tree: an alternation would try each word at each place."""
    branches, optional = [], ""
    for first, group in groupby(words, key=lambda word: word[:1]):
        if not first:
            optional = "?"
            continue
        same = list(group)
        prefix = _common_start(same[0], same[-1])
        rest = _any_of(word[len(prefix) :] for word in same) if len(same) > 1 else ""
        branches.append(re.escape(prefix) + rest)
    return f"(?:{'|'.join(branches)}){optional}"


def _common_start(first: str, second: str) -> str:
    pairs = enumerate(zip(first, second, strict=False))
    return first[: next((at for at, (one, other) in pairs if one != other), min(len(first), len(second)))]
