"""Finds the agent's turns in a rendered conversation, for any chat template.

The conversation is rendered twice: unchanged, and with an invented word (a *sentinel*) in place of each turn
of the agent. The text between the sentinels is the template's. It is found in the first rendering, and the
gaps are the agent's text. This can fail: the template refuses the sentinels, the texts do not match, or they
match in two ways (some templates write the last turn differently, or require a tool call before a tool's
result). Then the turns are tried in smaller groups, then one by one, then as the difference of two prompts,
and finally with a sentinel for the reasoning too. Nearly every conversation needs only the two renderings.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from lar.tokenizer.chat_template import ChatTemplate, TemplateMessage, TemplateRefusalError
from lar.tokenizer.dialect import Dialect
from lar.tokenizer.probes import CALL_ID
from lar.trajectories.schema import Tool

# Start and end of a turn's text in the rendered conversation; None if the template leaves the turn out.
Border = tuple[int, int] | None


class InexactTurnError(Exception):
    """The text of the agent's turn `number` (from 1) cannot be separated from the template's."""

    def __init__(self, number: int) -> None:
        self.number = number


@dataclass(frozen=True, slots=True)
class Conversation:
    """A conversation in the form that its template takes, and its `text` as the template writes it."""

    template: ChatTemplate
    dialect: Dialect
    messages: list[TemplateMessage]
    tools: list[Tool] | None
    text: str

    def turns(self) -> Sequence[Border]:
        """Return the borders of every assistant message, in order."""
        places = [place for place, message in enumerate(self.messages) if message["role"] == "assistant"]
        if not places:
            return []
        borders = self._by_sentinels(places)
        if borders is None:
            # The last turn is the one that templates most often write differently: try the rest without it.
            early = self._locate(places[:-1]) if len(places) > 1 else []
            borders = [*early, *self._locate(places[-1:])]
        for number, border in enumerate(borders, start=1):
            if border == _UNKNOWN:
                raise InexactTurnError(number)
        return borders

    def _locate(self, places: list[int]) -> Sequence[Border]:
        """Return the borders of the messages at `places`, halving the group until each is found."""
        borders = self._by_sentinels(places)
        if borders is not None:
            return borders
        if len(places) == 1:
            border = self._by_prompts(places[0])
            return [self._by_thought(places[0]) if border == _UNKNOWN else border]
        half = len(places) // 2
        return [*self._locate(places[:half]), *self._locate(places[half:])]

    def _by_sentinels(self, places: list[int]) -> Sequence[Border] | None:
        """Match the conversation against one with sentinels for the messages at `places`.

        First each sentinel is an answer. Then the sentinels of tool calls are tool calls, for templates that
        end calls differently or require one before a tool's result.
        """
        borders = self._match_variant(places, calls=set())
        calls = self._calls(places)
        return self._match_variant(places, calls) if borders is None and calls else borders

    def _by_thought(self, place: int) -> Border:
        """Return the border of one message from the beginning of its reasoning on.

        For templates whose generation prompt has an empty block of reasoning, which a turn's own replaces.
        """
        if self.messages[place].get("reasoning_content"):
            for calls in (set[int](), self._calls([place])):
                if borders := self._match_variant([place], calls, with_thought=True):
                    return borders[0]
        return _UNKNOWN

    def _calls(self, places: list[int]) -> set[int]:
        if self.dialect.call_edges is None:
            return set()
        return {place for place in places if self.messages[place].get("tool_calls")}

    def _match_variant(
        self, places: list[int], calls: set[int], *, with_thought: bool = False
    ) -> list[tuple[int, int]] | None:
        """Match against a sentinel for each place, in a call for `calls`; `with_thought` is for one place."""
        mark = _unused_word(self.text)
        sentinels = [f"{mark}{number:06d}x" for number in range(len(places))]
        thought = f"{sentinels[0]}t"
        variant = list(self.messages)
        for place, sentinel in zip(places, sentinels, strict=True):
            variant[place] = self._stand_in(place, sentinel, place in calls)
        if with_thought:
            variant[places[0]] = {**variant[places[0]], "reasoning_content": thought}
        try:
            rendered = self.template.render(variant, self.tools)
        except TemplateRefusalError:
            return None
        before, _, turn = rendered.partition(thought)
        pieces = _split_at(before + turn[max(turn.find(sentinels[0]), 0) :], mark, sentinels)
        if pieces is None:
            return None
        for number, place in enumerate(places):
            closer, openers = self._edges(place, place in calls)
            if not _strip(pieces, number, closer, [""] if with_thought else openers):
                return None
            if not with_thought:
                pieces[number] = self.dialect.openings.without_lead(pieces[number])
        borders = _match(self.text, pieces)
        return None if borders and self._are_mixed(places, borders) else borders

    def _are_mixed(self, places: list[int], borders: list[tuple[int, int]]) -> bool:
        """Whether a turn has the text of the next, where no other message separates the two.

        A template may write a turn's reasoning before the text that the sentinel was found after.
        """
        texts = [self.text[start:end] for start, end in borders]
        for (place, before), (following, own) in pairwise(zip(places, texts, strict=True)):
            message = self.messages[following]
            parts = [str(message.get(key) or "").strip() for key in ("reasoning_content", "content")]
            if following == place + 1 and any(part and part in before and part not in own for part in parts):
                return True
        return False

    def _stand_in(self, place: int, sentinel: str, is_call: bool) -> TemplateMessage:
        """Return a message with the sentinel as its content, or as the key of its call's arguments."""
        if not is_call:
            return {"role": "assistant", "content": sentinel}
        call = self.messages[place]["tool_calls"][0]
        if CALL_ID in str(self.dialect.call_edges):
            call = {**call, "id": CALL_ID}
        function = self.dialect.call_to(call["function"]["name"], sentinel)
        return {"role": "assistant", "content": "", "tool_calls": [{**call, "function": function}]}

    def _edges(self, place: int, is_call: bool) -> tuple[str, list[str]]:
        """Return the agent's text after the sentinel at `place`, and the texts that may be before it."""
        edges = self.dialect.call_edges
        if not is_call or edges is None:
            return "", [self.dialect.openings.space, ""]
        name = self.messages[place]["tool_calls"][0]["function"]["name"]
        return edges.closer, [opener + name + edges.middle for opener in edges.openers]

    def _by_prompts(self, place: int) -> Border:
        """Return the border of the message as the difference of the conversation with it and its prompt."""
        try:
            prompt = self.template.render(self.messages[:place], self.tools, add_generation_prompt=True)
            whole = self.template.render(self.messages[: place + 1], self.tools)
        except TemplateRefusalError:
            return self._left_out(place)
        closed = self.dialect.without_closing(whole)
        if closed.startswith(prompt) and self.text.startswith(closed):
            return len(prompt), len(closed)
        found = _in_context(self.text, prompt, closed[len(prompt) :]) if closed.startswith(prompt) else None
        return found or self._left_out(place)

    def _left_out(self, place: int) -> Border:
        """Return None if the conversation is the same without the message."""
        try:
            without = self.template.render(self.messages[:place] + self.messages[place + 1 :], self.tools)
        except TemplateRefusalError:
            return _UNKNOWN
        return None if without == self.text else _UNKNOWN


_UNKNOWN = (-1, -1)


def _unused_word(text: str) -> str:
    """Return a word that `text` does not contain, of letters and digits, which no template changes."""
    number = 0
    while (word := f"larturn{number}x") in text:
        number += 1
    return word


def _split_at(rendered: str, mark: str, sentinels: list[str]) -> list[str] | None:
    """Cut at the sentinels, `mark` with a number each; None unless each occurs once and they are in order."""
    known = set(sentinels)
    found = [match for match in re.finditer(f"{mark}[0-9]+x", rendered) if match.group() in known]
    if [match.group() for match in found] != sentinels:
        return None
    begins, ends = (
        [0, *(match.end() for match in found)],
        [*(match.start() for match in found), len(rendered)],
    )
    return [rendered[begin:end] for begin, end in zip(begins, ends, strict=True)]


def _strip(pieces: list[str], number: int, closer: str, openers: list[str]) -> bool:
    """Remove the agent's text from the pieces around sentinel `number`; False if it is missing."""
    before, after = pieces[number], pieces[number + 1]
    opener = next((opener for opener in openers if before.endswith(opener)), None)
    if opener is None or not after.startswith(closer):
        return False
    pieces[number : number + 2] = before.removesuffix(opener), after.removeprefix(closer)
    return True


def _match(text: str, pieces: list[str]) -> list[tuple[int, int]] | None:
    """Find `pieces` in `text`, the first at its start, the last at its end; return the borders of the gaps.

    None if they do not match, or match in more than one way: then the leftmost and rightmost matches differ.
    """
    first, *middle, last = pieces
    if not (text.startswith(first) and text.endswith(last) and len(first) + len(last) <= len(text)):
        return None
    end = len(text) - len(last)
    leftmost = _places(text, middle, len(first), end)
    if leftmost is None or leftmost != _places_from_right(text, middle, len(first), end):
        return None
    starts = [len(first), *(place + len(piece) for place, piece in zip(leftmost, middle, strict=True))]
    return list(zip(starts, [*leftmost, end], strict=True))


def _places(text: str, pieces: list[str], start: int, end: int) -> list[int] | None:
    places = []
    for piece in pieces:
        place = text.find(piece, start, end)
        if place < 0:
            return None
        places.append(place)
        start = place + len(piece)
    return places


def _places_from_right(text: str, pieces: list[str], start: int, end: int) -> list[int]:
    places = []
    for piece in reversed(pieces):
        end = text.rfind(piece, start, end)
        places.append(end)
    return places[::-1]


def _in_context(text: str, prompt: str, answer: str) -> Border:
    """Find `answer` in `text` after the longest suffix of `prompt` that occurs; None unless in one place.

    For templates whose beginning of a conversation depends on its length: Mistral's put the tools before the
    last question.
    """
    low, high = 0, len(prompt)  # bounds of the longest suffix that occurs; shorter ones occur too
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if prompt[-middle:] + answer in text else (low, middle - 1)
    context = prompt[len(prompt) - low :] + answer
    start = text.find(context)
    if not answer or start < 0 or text.find(context, start + 1) >= 0:
        return None
    return start + low, start + len(context)
