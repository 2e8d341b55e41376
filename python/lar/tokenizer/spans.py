"""Conversations as their chat template renders them, in spans of the agent's and the environment's text."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

from lar.errors import TokenizerError
from lar.tokenizer.chat_template import ChatTemplate, TemplateMessage, TemplateRefusalError
from lar.tokenizer.dialect import Dialect
from lar.tokenizer.openings import Openings
from lar.tokenizer.tokenizer import Tokenizer
from lar.tokenizer.turns import Border, Conversation, InexactTurnError
from lar.tokenizer.unwritten import restorable
from lar.trajectories.schema import Message, Trajectory


@dataclass(frozen=True, slots=True)
class Span:
    """A part of a rendered conversation, written by the agent or by its environment."""

    text: str
    agent: bool


@dataclass(frozen=True, slots=True)
class Rendering:
    """A rendered conversation.

    text: as the template writes it, but for the blocks of reasoning that no prompt holds. turns: the agent's
    messages. borders: where the text of each is, from the end of its prompt on, with the token that ends it;
    None for a turn that the template leaves out. prompted: whether the text before each ends as its prompt.
    """

    text: str
    turns: list[Message]
    borders: list[Border]
    prompted: list[bool]
    dialect: Dialect

    @property
    def written(self) -> list[str]:
        """The text of each of the agent's turns."""
        return [self.text[slice(*border)] if border else "" for border in self.borders]

    def lacks(self, turn: int) -> int:
        """The characters that a turn lacks and a prefix may have; one more if it is not behind its prompt."""
        border = self.borders[turn]
        text = self.text[slice(*border)] if border else ""
        return restorable(self.turns[turn], text, self.dialect) + (not self.prompted[turn])

    def before(self, turn: int) -> str:
        """The text before one of the agent's turns."""
        border = self.borders[turn]
        return self.text[: border[0]] if border else ""

    def spans(self, learned: Sequence[bool] | None = None) -> list[Span]:
        """The spans; turns that are not `learned` (None: those of weight 0) are the environment's."""
        if learned is None:
            learned = [turn.get("weight") != 0 for turn in self.turns]
        text, spans, position = self.text, list[Span](), 0
        for border, is_learned in zip(self.borders, learned, strict=True):
            if border is not None and is_learned:
                start, end = border
                spans += [Span(text[position:start], agent=False), Span(text[start:end], agent=True)]
                position = end
        spans.append(Span(text[position:], agent=False))
        return [span for span in spans if span.text]


def render(tokenizer: Tokenizer, trajectory: Trajectory) -> list[Span]:
    """Return the trajectory as the tokenizer's chat template renders it, in spans.

    Each turn of the agent with text is one span with `agent` set: all that the template writes behind the
    end of a prompt, with the token that ends the turn. A turn of weight 0 belongs to the environment. The
    spans of the environment lie between them. All texts joined are the rendering, without blocks of reasoning
    that the template writes before a last turn and no prompt has.

    Raises:
        TokenizerError: the template refuses the trajectory, or it does not show which text is the agent's.
    """
    return rendering(tokenizer, trajectory).spans()


def rendering(tokenizer: Tokenizer, trajectory: Trajectory, end: int | None = None) -> Rendering:
    """Render the trajectory, or its first `end` messages.

    Raises:
        TokenizerError: as `render` does.
    """
    template, dialect = speaker(tokenizer, trajectory.tools)
    messages, tools = dialect.adjust(trajectory.messages[:end], trajectory.tools)
    try:
        text = template.render(messages, tools)
    except TemplateRefusalError as refusal:
        raise TokenizerError(f"trajectory {trajectory.id}: the chat template refuses it: {refusal}") from None
    _check_unicode(trajectory, text)
    conversation = Conversation(template, dialect, messages, tools, text)
    try:
        found = _with_ends(text, conversation.turns(), dialect)
    except InexactTurnError as error:
        raise TokenizerError(
            f"trajectory {trajectory.id}, agent turn {error.number}: the chat template does not show "
            "which text is the agent's"
        ) from None
    turns = [message for message in trajectory.messages[:end] if message["role"] == "assistant"]
    text, borders, prompted = _behind_prompts(text, found, _roles_before_turns(messages), dialect.openings)
    return Rendering(text, turns, borders, prompted, dialect)


def _roles_before_turns(messages: Sequence[TemplateMessage]) -> list[str]:
    """The role of the message before each of the agent's turns; empty for one that begins a conversation."""
    roles = ["", *(message["role"] for message in messages)]
    return [before for before, role in pairwise(roles) if role == "assistant"]


def _behind_prompts(
    text: str, borders: Sequence[Border], roles: Sequence[str], openings: Openings
) -> tuple[str, list[Border], list[bool]]:
    """Let each turn begin where its prompt ends.

    Returns the text without what the template writes only before a last turn, the borders within it, and
    whether the text before each turn ends as its prompt does.
    """
    kept, moved, prompted = list[str](), list[Border](), list[bool]()
    position = cut = 0  # of the text up to here, all but so many characters are kept
    for border, role in zip(borders, roles, strict=True):
        if border is None:
            moved.append(None)
            prompted.append(True)
            continue
        start, end = border
        before = text[max(start - openings.reach, 0) : start]
        passing = openings.passing_in(text[start:end])
        given = 0 if passing else openings.given(before, text[start:end], role)
        kept.append(text[position:start])
        position = start + passing
        cut += passing
        moved.append((position - cut + given, end - cut))
        prompted.append(given > 0 or openings.is_prompt(before, role))
    kept.append(text[position:])
    return "".join(kept), moved, prompted


def _check_unicode(trajectory: Trajectory, text: str) -> None:
    """Raise TokenizerError for half of a surrogate pair, which JSON can contain but UTF-8 cannot."""
    try:
        f"{trajectory.id}{trajectory.task}{text}".encode()
    except UnicodeEncodeError:
        raise TokenizerError(f"trajectory {trajectory.id!a}: a lone surrogate in its text") from None


def speaker(tokenizer: Tokenizer, tools: object = None) -> tuple[ChatTemplate, Dialect]:
    """Return the compiled template of conversations with or without `tools`, and its dialect.

    Raises:
        TokenizerError: there is no template, or it cannot be compiled.
    """
    source = tokenizer.template_for(tools)
    if source is None:
        raise TokenizerError(
            "the tokenizer has no chat template (chat_template.jinja, or in tokenizer_config.json)"
        )
    return _speaker(tokenizer, source)


@lru_cache(maxsize=8)
def _speaker(tokenizer: Tokenizer, source: str) -> tuple[ChatTemplate, Dialect]:
    """Kept, as a dialect takes a dozen renderings to find."""
    template = ChatTemplate(source, tokenizer.special_tokens)
    return template, Dialect.of(template, tokenizer)


def end_of_turn(tokenizer: Tokenizer, tools: object = None) -> str | None:
    """The token that ends an answer at the end of a conversation; None without one, or without a template.

    `tools` as in `speaker`.
    """
    if tokenizer.template_for(tools) is None:
        return None
    _, dialect = speaker(tokenizer, tools)
    found = dialect.turn_end.match(dialect.closing)
    return found and found.group().strip()


def prompts_are_plain(tokenizer: Tokenizer) -> bool:
    """Whether the chat template, or both of two, put each answer directly behind the end of a prompt."""
    return all(dialect.openings.are_plain for dialect in _dialects(tokenizer))


def moves_text(tokenizer: Tokenizer) -> bool:
    """Whether the chat template, or one of two, moves tools or a system's text when the user speaks again."""
    return any(dialect.moves_text for dialect in _dialects(tokenizer))


def _dialects(tokenizer: Tokenizer) -> list[Dialect]:
    """Those of the templates of conversations without and with tools; none without a template."""
    sources = [tools for tools in (False, True) if tokenizer.template_for(tools) is not None]
    return [speaker(tokenizer, tools)[1] for tools in sources]


def writes_ends(tokenizer: Tokenizer) -> bool:
    """Whether the chat template, or one of two, writes a token that ends the agent's turn."""
    ends = [
        end_of_turn(tokenizer),
        end_of_turn(tokenizer, tools=True),
        tokenizer.special_tokens.get("eos_token"),
    ]
    patterns = [dialect.turn_end for dialect in _dialects(tokenizer)]
    return any(pattern.match(end) for pattern in patterns for end in ends if end)


def _with_ends(text: str, turns: Sequence[Border], dialect: Dialect) -> list[Border]:
    """Return the borders with the token that ends each turn; raises InexactTurnError if turns overlap."""
    borders: list[Border] = []
    position = 0
    for number, turn in enumerate(turns, start=1):
        if turn is not None:
            start, end = turn
            if start < position:
                raise InexactTurnError(number)
            ending = dialect.turn_end.match(text, end)
            position = ending.end() if ending else end
            turn = start, position
        borders.append(turn)
    return borders
