"""What of the agent's own text a chat template does not write, in characters.

A turn's reasoning, content and calls are looked for in the turn's own text. White space is not compared, as
templates strip and add it: what is written with other white space counts as written, and white space at the
edges of a text counts nowhere. Neither do the tags `<think>` and `</think>`. The arguments of a call are
compared by their keys and values, as templates write JSON in their own way.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from lar.tokenizer.dialect import Dialect
from lar.tokenizer.tools import CallEdges
from lar.trajectories.schema import Message, ToolCall

_EARLIER, _LAST = "reasoning of earlier turns", "reasoning of the last turn"
_WITHIN = "reasoning within the text"
_BESIDE = "text beside a call"
# What is left out -> the part of a turn that it belongs to, in the order in which it is reported.
KINDS = {
    _EARLIER: "reasoning",
    _LAST: "reasoning",
    _WITHIN: "text",
    _BESIDE: "text",
    "text without a call": "text",
    "calls": "calls",
    "calls after the first of a turn": "calls",
    "arguments of calls": "calls",
}
# The kinds that a prefix of the run may have (`lar.tokenizer.prefixes`).
REASONING = frozenset({_EARLIER, _LAST, _WITHIN})
# A shorter text can also be found by chance.
_SHORTEST_PART = 16


@dataclass(slots=True)
class Loss:
    """The agent's text of one kind (of `KINDS`) that the chat template does not write."""

    kind: str
    characters: int
    turns: int  # turns that lack some of it
    first: str  # the id of the first trajectory
    first_turn: int  # its turn of the agent, from 1


@dataclass(slots=True)
class Unwritten:
    """What of the agent's text is not written: of how many characters, and the losses by kind."""

    reasoning: int = 0  # characters in the log
    text: int = 0
    calls: int = 0  # names and arguments
    losses: list[Loss] = field(default_factory=list)

    @classmethod
    def from_dict(cls, value: dict[str, Any]) -> "Unwritten":
        """The inverse of `dataclasses.asdict`; TypeError or KeyError where `value` is something else."""
        losses = [Loss(**loss) for loss in {**value}.get("losses", [])]
        for loss in losses:
            KINDS[loss.kind]  # raises
        return cls(**{**value, "losses": losses})

    def add(self, other: "Unwritten") -> None:
        """Add what comes later in the log."""
        self.reasoning += other.reasoning
        self.text += other.text
        self.calls += other.calls
        known = {loss.kind: loss for loss in self.losses}
        for loss in other.losses:
            if loss.kind in known:
                known[loss.kind].characters += loss.characters
                known[loss.kind].turns += loss.turns
            else:
                known[loss.kind] = Loss(loss.kind, loss.characters, loss.turns, loss.first, loss.first_turn)
        self.losses = sorted(known.values(), key=lambda loss: list(KINDS).index(loss.kind))

    @property
    def share(self) -> float:
        """The share of the agent's characters that is not written; 0 where the log has none of them."""
        characters = self.reasoning + self.text + self.calls
        return sum(loss.characters for loss in self.losses) / characters if characters else 0.0

    def total(self, loss: Loss) -> int:
        """The characters in the log of the part (reasoning, text or calls) to which a loss belongs."""
        return int(getattr(self, KINDS[loss.kind]))

    def lines(self) -> Iterator[str]:
        """Yield a sentence for each loss."""
        for loss in self.losses:
            total = self.total(loss)
            share = f"{loss.characters:,} of {total:,} characters of the agent's {KINDS[loss.kind]}"
            turns = "1 turn" if loss.turns == 1 else f"{loss.turns:,} turns"
            yield (
                f"the chat template leaves out {loss.kind}: {share} ({loss.characters / max(total, 1):.1%}), "
                f"in {turns}; the first: trajectory {loss.first}, agent turn {loss.first_turn}"
            )


def unwritten(
    identifier: str, turns: Sequence[Message], written: Sequence[str], dialect: Dialect
) -> Unwritten:
    """What the texts of the agent's turns lack; `identifier` names the trajectory in the losses."""
    found = Unwritten()
    for number, (turn, text) in enumerate(zip(turns, written, strict=True), start=1):
        reasoning, content = turn.get("reasoning_content") or "", turn.get("content") or ""
        calls = [_Call.of(call) for call in turn.get("tool_calls") or ()]
        lost = _lost_in(turn, text, dialect, is_last=number == len(turns))
        losses = [Loss(kind, count, 1, identifier, number) for kind, count in lost.items() if count]
        characters = len(reasoning.strip()), len(content.strip()), sum(call.size for call in calls)
        found.add(Unwritten(*characters, losses))
    return found


def restorable(turn: Message, text: str, dialect: Dialect) -> int:
    """The characters that `text`, a turn as it was written, lacks and a prefix of the run may have.

    They are those of its reasoning, and of the text beside its calls where the template writes this at all.
    """
    if not is_restorable(turn, dialect):
        return 0
    lost = _lost_in(turn, text, dialect, is_last=True)
    return lost[_LAST] + lost.get(_WITHIN, 0) + (lost.get(_BESIDE, 0) if dialect.writes_text else 0)


def is_restorable(turn: Message, dialect: Dialect) -> bool:
    """Whether a turn has what a template may drop once the conversation goes on.

    That is reasoning, and with gpt-oss the text beside calls too.
    """
    content = turn.get("content") or ""
    has_text = dialect.writes_text and bool(content and turn.get("tool_calls"))
    return has_text or bool(turn.get("reasoning_content")) or "</think>" in content


def _lost_in(turn: Message, text: str, dialect: Dialect, *, is_last: bool) -> dict[str, int]:
    """How many characters of a turn its written text lacks, by kind."""
    calls = [_Call.of(call) for call in turn.get("tool_calls") or ()]
    content = turn.get("content") or ""
    rest, lost_calls = _find_calls(calls, text, dialect.call_edges)
    # Reasoning may recur in the answer, and is looked for before it.
    answer = content.rpartition("</think>")[2].strip()
    place = rest.rfind(answer) if answer else -1
    before, after = (rest, "") if place < 0 else (rest[:place], rest[place:])
    before, lost_reasoning = _lost(turn.get("reasoning_content") or "", before)
    return {
        _LAST if is_last else _EARLIER: lost_reasoning,
        **_lost_content(content, before + after, has_calls=bool(calls)),
        **lost_calls,
    }


def _lost_content(content: str, text: str, *, has_calls: bool) -> dict[str, int]:
    """Return how much of the content is not in `text`, by kind."""
    thought, tag, rest = content.rpartition("</think>")
    lost = {}
    if tag:
        text, lost[_WITHIN] = _lost(thought.strip().removeprefix("<think>"), text)
    kind = _BESIDE if has_calls else "text without a call"
    _, lost[kind] = _lost(rest, text)
    return lost


def _lost(part: str, text: str) -> tuple[str, int]:
    """Return the text after `part` and 0; or the whole text, and how many characters of `part` it lacks."""
    part = part.strip()
    place = text.find(part)
    if place >= 0:
        return text[place + len(part) :], 0
    visible, among = "".join(part.split()), "".join(text.split())
    start, end = _missing(visible, among)
    if start >= end:
        return text, 0
    places = [place for place, character in enumerate(part) if not character.isspace()]
    return text, places[end - 1] + 1 - places[start]


def _missing(part: str, text: str) -> tuple[int, int]:
    """Return the smallest stretch of `part` without which it is in `text`, as one or two pieces of it."""
    if part in text:
        return 0, 0
    first = _longest(lambda length: part[:length] in text, len(part))
    after = text[text.find(part[:first]) + first :] if first else text
    last = _longest(lambda length: part[-length:] in after, len(part) - first)
    first_then_last = first, len(part) - last
    last = _longest(lambda length: part[-length:] in text, len(part))
    before = text[: text.rfind(part[len(part) - last :])] if last else text
    first = _longest(lambda length: part[:length] in before, len(part) - last)
    return min(first_then_last, (first, len(part) - last), key=lambda stretch: stretch[1] - stretch[0])


def _longest(occurs: Callable[[int], bool], most: int) -> int:
    """Return the greatest length up to `most` that `occurs`, if shorter ones do; 0 for a short one."""
    low, high = 0, most
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if occurs(middle) else (low, middle - 1)
    return low if low >= _SHORTEST_PART else 0


class _Call(NamedTuple):
    name: str
    arguments: str

    @classmethod
    def of(cls, call: ToolCall) -> "_Call":
        name, arguments = call["function"]["name"], call["function"]["arguments"]
        return cls(name, arguments.strip() if isinstance(arguments, str) else json.dumps(arguments))

    @property
    def size(self) -> int:
        return len(self.name) + len(self.arguments)


def _find_calls(calls: Sequence[_Call], text: str, edges: CallEdges | None) -> tuple[str, dict[str, int]]:
    """Return the text before the calls, and how many characters of them are missing, by kind."""
    places = list(_places(calls, text, edges))
    found = [place for place in places if place is not None]
    ends = [*found[1:], len(text)]
    lost = dict.fromkeys((kind for kind, part in KINDS.items() if part == "calls"), 0)
    for number, (call, place) in enumerate(zip(calls, places, strict=True)):
        if place is None:
            lost["calls after the first of a turn" if number else "calls"] += call.size
        else:
            lost["arguments of calls"] += _lost_arguments(call.arguments, text[place : ends.pop(0)])
    return text[: found[0]] if found else text, lost


def _places(calls: Sequence[_Call], text: str, edges: CallEdges | None) -> Iterator[int | None]:
    """Yield where each call's name is in the text, one after the other; None where it is missing.

    A name is found with a few characters of the template's own around it, because it may also be a word of
    the text.
    """
    before, after = (edges.openers[0][-4:], edges.middle[:1]) if edges else ("", "")
    position = 0
    for call in calls:
        place = text.find(before + call.name + after, position)
        if place < 0:
            yield None
            continue
        yield place
        position = place + len(before + call.name)
        end = text.find(call.arguments, position)
        position = max(position, end + len(call.arguments))


def _lost_arguments(arguments: str, text: str) -> int:
    if arguments in text:
        return 0
    try:
        leaves = list(_leaves(json.loads(arguments, object_pairs_hook=tuple)))
    except (ValueError, RecursionError):
        leaves = [arguments]
    return sum(min(_lost(form, text)[1] for form in _forms(leaf)) for leaf in leaves)


def _leaves(value: Any) -> Iterator[Any]:
    """Yield the keys and the values of parsed JSON."""
    if isinstance(value, list | tuple):
        for item in value:
            yield from _leaves(item)
    else:
        yield value


def _forms(value: Any) -> tuple[str, ...]:
    """The forms in which a template may write a key or a value: as text, as JSON, as Python does."""
    if not isinstance(value, str):
        return json.dumps(value), str(value)
    return value, json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1]
