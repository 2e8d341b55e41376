"""Finds the exact text of the agent in a rendered conversation, for any chat template.

The conversation is rendered twice: unchanged, and with an invented word (a *sentinel*) in place of each turn
of the agent. The text between the sentinels is the template's. It is found in the first rendering, and the
gaps are the agent's text. This can fail: the template refuses the sentinels, the texts do not match, or they
match in two ways (some templates write the last turn differently, or require a tool call before a tool's
result). Then the turns are tried in smaller groups, then one by one, then as the difference of two prompts,
and finally with a sentinel for the reasoning too. Nearly every conversation needs only the two renderings.
"""

from collections.abc import Sequence, Set
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

from lar.errors import TokenizerError
from lar.tokenizer.chat_template import ChatTemplate, TemplateMessage, TemplateRefusalError
from lar.tokenizer.dialect import Dialect
from lar.tokenizer.probes import CALL_ID
from lar.tokenizer.tokenizer import Tokenizer
from lar.tokenizer.unwritten import Unwritten, unwritten
from lar.trajectories.schema import Tool, Trajectory

# Start and end of a turn's text in the rendered conversation; None if the template leaves the turn out.
Border = tuple[int, int] | None


@dataclass(frozen=True, slots=True)
class Span:
    """A part of a rendered conversation, written by the agent or by its environment."""

    text: str
    agent: bool


@dataclass(frozen=True, slots=True)
class Rendering:
    """A rendered conversation: its spans, and what of the agent's text is missing in them."""

    spans: list[Span]
    unwritten: Unwritten


def render(tokenizer: Tokenizer, trajectory: Trajectory) -> list[Span]:
    """Return the trajectory as the tokenizer's chat template renders it, in spans.

    Each turn of the agent with text is one span with `agent` set: content, reasoning and tool calls as the
    template writes them, and the token that ends the turn. A turn of weight 0 belongs to the environment. The
    spans of the environment lie between them. All texts joined are the rendering.

    Raises:
        TokenizerError: the template refuses the trajectory, or it does not show which text is the agent's.
    """
    return rendering(tokenizer, trajectory).spans


def rendering(tokenizer: Tokenizer, trajectory: Trajectory) -> Rendering:
    """Return the spans of `render`, and what of the agent's text the template does not write.

    Raises:
        TokenizerError: as `render` does.
    """
    template, dialect = speaker(tokenizer)
    messages, tools = dialect.adjust(trajectory.messages, trajectory.tools)
    try:
        text = template.render(messages, tools)
    except TemplateRefusalError as refusal:
        raise TokenizerError(f"trajectory {trajectory.id}: the chat template refuses it: {refusal}") from None
    _check_unicode(trajectory, text)
    conversation = _Conversation(template, dialect, messages, tools, text)
    try:
        borders = _with_ends(text, conversation.turns(), dialect)
    except _InexactTurnError as error:
        raise TokenizerError(
            f"trajectory {trajectory.id}, agent turn {error.number}: the chat template does not show "
            "which text is the agent's"
        ) from None
    turns = [message for message in trajectory.messages if message["role"] == "assistant"]
    written = [text[slice(*border)] if border else "" for border in borders]
    learned = [turn.get("weight") != 0 for turn in turns]
    return Rendering(_spans(text, borders, learned), unwritten(trajectory.id, turns, written, dialect))


def _check_unicode(trajectory: Trajectory, text: str) -> None:
    """Raise TokenizerError for half of a surrogate pair, which JSON can contain but UTF-8 cannot."""
    try:
        f"{trajectory.id}{trajectory.task}{text}".encode()
    except UnicodeEncodeError:
        raise TokenizerError(f"trajectory {trajectory.id!a}: a lone surrogate in its text") from None


@lru_cache(maxsize=4)
def speaker(tokenizer: Tokenizer) -> tuple[ChatTemplate, Dialect]:
    """Return the compiled template and its dialect, which takes a dozen renderings to find."""
    if tokenizer.chat_template is None:
        raise TokenizerError(
            "the tokenizer has no chat template (chat_template.jinja, or in tokenizer_config.json)"
        )
    template = ChatTemplate(tokenizer.chat_template, tokenizer.special_tokens)
    added = tokenizer.backend.get_added_tokens_decoder().values()
    specials = [token.content for token in added if token.special]
    return template, Dialect.of(template, specials, tokenizer.special_tokens.get("eos_token"))


class _InexactTurnError(Exception):
    """The text of the agent's turn `number` (from 1) cannot be separated from the template's."""

    def __init__(self, number: int) -> None:
        self.number = number


@dataclass(frozen=True, slots=True)
class _Conversation:
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
                raise _InexactTurnError(number)
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
        if not self.messages[place].get("reasoning_content"):
            return _UNKNOWN
        for calls in (set[int](), self._calls([place])):
            if borders := self._match_variant([place], calls, thoughts={place}):
                return borders[0]
        return _UNKNOWN

    def _calls(self, places: list[int]) -> set[int]:
        if self.dialect.call_edges is None:
            return set()
        return {place for place in places if self.messages[place].get("tool_calls")}

    def _match_variant(
        self, places: list[int], calls: Set[int], thoughts: Set[int] = frozenset()
    ) -> Sequence[Border] | None:
        mark = _unused_word(self.text)
        sentinels = [f"{mark}{number:06d}x" for number in range(len(places))]
        variant = list(self.messages)
        for place, sentinel in zip(places, sentinels, strict=True):
            variant[place] = self._stand_in(place, sentinel, place in calls)
            if place in thoughts:
                variant[place] = {**variant[place], "reasoning_content": f"{sentinel}t"}
        try:
            rendered = self.template.render(variant, self.tools)
        except TemplateRefusalError:
            return None
        for place, sentinel in zip(places, sentinels, strict=True):
            if place in thoughts:
                before, _, turn = rendered.partition(f"{sentinel}t")
                rendered = before + turn[max(turn.find(sentinel), 0) :]
        pieces = _split_at(rendered, sentinels)
        if pieces is None:
            return None
        for number, place in enumerate(places):
            if not self._strip_edges(pieces, number, place if place in calls else None, place in thoughts):
                return None
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
        if any(CALL_ID in edge for edge in self._edges(place)):
            call = {**call, "id": CALL_ID}
        function = self.dialect.call_to(call["function"]["name"], sentinel)
        return {"role": "assistant", "content": "", "tool_calls": [{**call, "function": function}]}

    def _edges(self, place: int) -> list[str]:
        """Return the text after the key of the call at `place`, and those that may be before it."""
        edges = self.dialect.call_edges
        if edges is None:
            return [""]
        name = self.messages[place]["tool_calls"][0]["function"]["name"]
        return [edges.closer, *(opener + name + edges.middle for opener in edges.openers)]

    def _strip_edges(self, pieces: list[str], number: int, call: int | None, has_thought: bool) -> bool:
        """Remove the agent's text from the pieces around sentinel `number`; False if it is missing.

        `call` is the place of the call that the sentinel stands for. Before reasoning there is nothing.
        """
        closer, *befores = ["", self.dialect.lead, ""] if call is None else self._edges(call)
        before = "" if has_thought else next((b for b in befores if pieces[number].endswith(b)), None)
        if before is None or not pieces[number + 1].startswith(closer):
            return False
        pieces[number] = pieces[number].removesuffix(before)
        pieces[number + 1] = pieces[number + 1].removeprefix(closer)
        return True

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


def _split_at(rendered: str, sentinels: list[str]) -> list[str] | None:
    """Cut at the sentinels; None unless each occurs once and they are in order."""
    pieces = []
    for sentinel in sentinels:
        piece, found, rendered = rendered.partition(sentinel)
        if not found or sentinel in rendered:
            return None
        pieces.append(piece)
    return [*pieces, rendered]


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


def _with_ends(text: str, turns: Sequence[Border], dialect: Dialect) -> list[Border]:
    """Return the borders with the token that ends each turn; raises _InexactTurnError if turns overlap."""
    borders: list[Border] = []
    position = 0
    for number, turn in enumerate(turns, start=1):
        if turn is not None:
            start, end = turn
            if start < position:
                raise _InexactTurnError(number)
            ending = dialect.turn_end.match(text, end)
            position = ending.end() if ending else end
            turn = start, position
        borders.append(turn)
    return borders


def _spans(text: str, turns: Sequence[Border], learned: list[bool]) -> list[Span]:
    """Cut `text` at the turns; a turn that is not `learned` is the environment's."""
    spans: list[Span] = []
    position = 0
    for turn, is_learned in zip(turns, learned, strict=True):
        if turn is not None and is_learned:
            start, end = turn
            spans += [Span(text[position:start], agent=False), Span(text[start:end], agent=True)]
            position = end
    spans.append(Span(text[position:], agent=False))
    return [span for span in spans if span.text]
