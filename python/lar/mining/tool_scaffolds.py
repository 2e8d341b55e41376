"""What all calls to a tool have in common, as the chat template writes them: its scaffold, in base tokens.

A call is rendered with an invented word in each place where calls differ: the values of the required keys and
the call's id. Then each word is replaced by several values, and only the base tokens that are the same for
all of them belong to the scaffold. The call is also rendered behind a text, behind another call and before
one, because templates write a call's edges in different ways there.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any, NamedTuple

import numpy as np

from lar.errors import TokenizerError
from lar.mining.tool_schemas import Slot, ToolSchema, example_call
from lar.tokenizer.probes import TOOL
from lar.tokenizer.spans import Span, render
from lar.tokenizer.tokenizer import Tokenizer
from lar.trajectories.schema import Message, ToolCall, Trajectory

# Letters and digits: Mistral's templates require nine of them as a call's id.
_NAME = "larscaffoldname"
_ID = Slot("larcallid", ("larcallid", "7a1B2c3D4", "Xyz000009"))
# Arguments that the calls to a tool may have instead of those that its schema requires.
_OTHER_ARGUMENTS: tuple[dict[str, Any], ...] = ({}, {"k": "v"}, {"Q7": 7})
_OTHER: ToolCall = {
    "id": "larother1",
    "type": "function",
    "function": {"name": "larscaffoldother", "arguments": "{}"},
}


@dataclass(frozen=True, slots=True)
class ToolScaffold:
    """The base tokens that the calls to a tool have in common; none is an added token.

    opening: the tokens around the tool's name, which every call to it has, whatever its arguments.
    pieces: stretches of two tokens or more, in the order of the call: before the first value, between two
    values, after the last one. They are those of calls with the required keys alone, and the first of them
    usually begins with `opening`.
    begins, ends: whether the opening is bare there, the name itself at an added token: such a run of every
    call begins with the opening, or ends with it.
    """

    name: str
    opening: tuple[int, ...]
    pieces: tuple[tuple[int, ...], ...]
    begins: bool = False
    ends: bool = False


def tool_scaffolds(
    tools: Iterable[ToolSchema], tokenizer: Tokenizer, *, compact: bool = False
) -> list[ToolScaffold]:
    """The scaffold of each tool; with `compact`, arguments are written without spaces between them.

    The spaces matter only where the template takes the arguments as the agent's own text.

    Raises:
        TokenizerError: the chat template does not write calls in the agent's text, or not their values.
    """
    writer = _Writer(tokenizer, compact)
    others = [call for arguments in _OTHER_ARGUMENTS for call in writer.calls(arguments, [])]
    return [_scaffold(tool, writer, others) for tool in tools]


def call_text(tokenizer: Tokenizer, arguments: str) -> tuple[str, str]:
    """The agent's text before a tool's name and after it, in a turn with one call.

    `arguments` is the JSON text of the call's arguments.

    Raises:
        TokenizerError: the chat template does not write calls in the agent's text.
    """
    before, _, after = _turn(tokenizer, arguments, _CONTEXTS[0]).partition(_NAME)
    return before, after


class _Token(NamedTuple):
    """A base token, and where it begins and ends, in characters behind a place that all calls have."""

    begin: int
    end: int
    id: int


# For each text between two slots of a call (and before the first, and after the last) its tokens.
_Regions = list[list[_Token]]


@dataclass(frozen=True, slots=True)
class _Context:
    """What the agent's turn holds beside the call."""

    text: str = ""
    before: tuple[ToolCall, ...] = ()
    after: tuple[ToolCall, ...] = ()


_CONTEXTS = (_Context(), _Context(text="So."), _Context(before=(_OTHER,)), _Context(after=(_OTHER,)))


@dataclass(frozen=True, slots=True)
class _Call:
    """A rendered turn, cut at its slots: `texts[i]` is before the slot i; `named`: the text with the name."""

    texts: list[str]
    slots: list[Slot]
    named: int

    def regions(self, name: str, tokenizer: Tokenizer) -> Iterator[_Regions]:
        """The tokens of each text for each way to fill the slots, in a call to `name`."""
        texts = [text.replace(_NAME, name) for text in self.texts]
        for number in range(max((len(slot.fillings) for slot in self.slots), default=1)):
            values = [slot.fillings[number % len(slot.fillings)] for slot in self.slots]
            yield self._tokens(texts, values, tokenizer)

    def _tokens(self, texts: list[str], values: list[str], tokenizer: Tokenizer) -> _Regions:
        whole = "".join(text + value for text, value in zip(texts, [*values, ""], strict=True))
        ids, starts = tokenizer.encode_with_offsets(whole)
        ends = np.append(starts[1:], len(whole))
        regions: _Regions = []
        begin = 0
        for number, text in enumerate(texts):
            end = begin + len(text)
            inside = np.flatnonzero((starts >= begin) & (ends <= end))
            anchor = self._anchor(number, begin, end)
            bounds = (starts[inside] - anchor).tolist(), (ends[inside] - anchor).tolist()
            regions.append(list(map(_Token, *bounds, ids[inside].tolist())))
            begin = end + len([*values, ""][number])
        return regions

    def _anchor(self, number: int, begin: int, end: int) -> int:
        """A place of the text [begin, end) that does not depend on what else the turn holds."""
        if number == self.named:
            return begin + self.texts[number].index(_NAME)
        return end if number == 0 else begin


class _Writer:
    """Renders calls as corpora are rendered, with a word for the tool's name."""

    def __init__(self, tokenizer: Tokenizer, compact: bool) -> None:
        self.tokenizer = tokenizer
        self._separators = (",", ":") if compact else (", ", ": ")

    def calls(self, arguments: dict[str, Any], slots: Sequence[Slot]) -> list[_Call]:
        """The call in each context that the template accepts."""
        text = json.dumps(arguments, ensure_ascii=False, separators=self._separators)
        calls: list[_Call] = []
        refusal = _refusal("a value of its arguments is missing, or is written twice")
        for context in _CONTEXTS:
            try:
                turn = _turn(self.tokenizer, text, context)
            except TokenizerError as error:
                refusal = error
                continue
            if (call := _cut(turn, slots)) is not None:
                calls.append(call)
        if not calls:
            raise refusal
        return [call for call in calls if len(call.texts) == len(calls[0].texts)]


def _turn(tokenizer: Tokenizer, arguments: str, context: _Context) -> str:
    """The agent's text in a turn that calls the tool `_NAME`."""
    call: ToolCall = {
        "id": _ID.word,
        "type": "function",
        "function": {"name": _NAME, "arguments": arguments},
    }
    calls = [*context.before, call, *context.after]
    messages: list[Message] = [
        {"role": "user", "content": "Go."},
        {"role": "assistant", "content": context.text, "tool_calls": calls},
        *(_result(one) for one in calls),
        {"role": "assistant", "content": "Done."},
    ]
    try:
        spans = _rendered(tokenizer, messages)
    except TokenizerError as error:
        raise _refusal(str(error)) from None
    turn = next((span.text for span in spans if span.agent), "")
    if turn.count(_NAME) != 1:
        raise _refusal("the name of the tool is not in the agent's text, or is there twice")
    return turn


def _rendered(tokenizer: Tokenizer, messages: list[Message]) -> list[Span]:
    """The spans of a conversation, with a system message in front where the template needs one."""
    try:
        return render(tokenizer, Trajectory("example", "example", messages, tools=[TOOL]))
    except TokenizerError as refused:
        if messages[0]["role"] == "system":
            raise
        try:
            return _rendered(tokenizer, [{"role": "system", "content": "Be brief."}, *messages])
        except TokenizerError:
            raise refused from None


def _refusal(reason: str) -> TokenizerError:
    return TokenizerError(f"the chat template cannot write a tool call: {reason}")


def _result(call: ToolCall) -> Message:
    name, identifier = call["function"]["name"], call["id"] or ""
    return {"role": "tool", "content": "Yes.", "name": name, "tool_call_id": identifier}


def _cut(turn: str, slots: Sequence[Slot]) -> _Call | None:
    """The turn cut at its slots; None where a value is missing or there twice."""
    if any(turn.count(slot.word) != 1 for slot in slots):
        return None
    present = [*slots, _ID] if turn.count(_ID.word) == 1 else slots
    texts, ordered = [], sorted(present, key=lambda slot: turn.index(slot.word))
    for slot in ordered:
        text, _, turn = turn.partition(slot.word)
        texts.append(text)
    texts.append(turn)
    return _Call(texts, ordered, next(i for i, text in enumerate(texts) if _NAME in text))


def _scaffold(tool: ToolSchema, writer: _Writer, others: list[_Call]) -> ToolScaffold:
    tokenizer = writer.tokenizer
    calls = writer.calls(*example_call(tool))
    regions = _common(r for call in calls for r in call.regions(tool.name, tokenizer))
    named = regions[calls[0].named]
    # What calls with any arguments have: a tool may be called with optional keys, or with others first.
    of_others = [r[call.named] for call in others for r in call.regions(tool.name, tokenizer)]
    in_all = reduce(_both, of_others, named)
    openings = _stretches(in_all, tokenizer)
    opening = next((stretch for stretch in openings if stretch[-1].end > 0), None)
    if opening is None:
        raise _refusal(f"no token of {tool.name!r} is fixed")
    stretches = [stretch for region in regions for stretch in _stretches(region, tokenizer)]
    added = [token for token in in_all if token.id in tokenizer.barriers]
    return ToolScaffold(
        name=tool.name,
        opening=_ids(opening),
        pieces=tuple(_ids(stretch) for stretch in stretches if len(stretch) >= 2),
        begins=opening[0].begin == 0 and any(token.end == 0 for token in added),
        ends=any(token.begin == opening[-1].end == len(tool.name) for token in added),
    )


def _common(calls: Iterable[_Regions]) -> _Regions:
    """Of each region the tokens that all calls have."""
    return reduce(lambda one, other: [_both(*pair) for pair in zip(one, other, strict=True)], calls)


def _both(one: list[_Token], other: list[_Token]) -> list[_Token]:
    found = set(other)
    return [token for token in one if token in found]


def _stretches(tokens: list[_Token], tokenizer: Tokenizer) -> list[list[_Token]]:
    """The tokens in stretches without a gap and without an added token."""
    barriers = set(tokenizer.barriers.tolist())
    stretches: list[list[_Token]] = []
    end = None
    for token in tokens:
        if token.id in barriers:
            end = None
            continue
        if token.begin != end:
            stretches.append([])
        stretches[-1].append(token)
        end = token.end
    return stretches


def _ids(tokens: list[_Token]) -> tuple[int, ...]:
    return tuple(token.id for token in tokens)
