"""Rows of one turn behind its prompt, for turns whose prompt begins no rendering of the run.

gpt-oss' template drops reasoning and text beside calls as soon as an answer follows, so no rendering has an
answer behind what its agent read. A prompt has this, and the turn's own text is that of any rendering.
"""

from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass

from lar.tokenizer.chat_template import TemplateRefusalError
from lar.tokenizer.spans import Rendering, Span, speaker
from lar.tokenizer.tokenizer import Tokenizer
from lar.tokenizer.unwritten import is_restorable
from lar.trajectories.schema import Trajectory

# Longer beginnings of a turn are looked for by their first characters: all of them would take quadratic time.
_HEAD = 16


@dataclass(frozen=True, slots=True)
class RowsBehindPrompts:
    """The rows of a run's renderings; `restored`: the turns of which a prefix of the run has more than it."""

    tokenizer: Tokenizer
    trajectory: Trajectory
    restored: Set[int]

    def of(self, found: Rendering, learned: Sequence[bool]) -> list[list[Span]]:
        """The rows in which the `learned` turns of a rendering are learnt, in the order of their last turns.

        It is one row, but for turns that an engine has another text before. These get a row each.
        """
        turns = [turn for turn, is_learned in enumerate(learned) if is_learned and found.borders[turn]]
        doubtful = self._doubtful(found)
        alone = self._alone(found, [turn for turn in turns if turn in doubtful or turn == turns[-1]])
        if alone and turns[-1] in alone:  # others may be, too
            alone = self._alone(found, turns)
        if not alone:
            return [found.spans(learned)]
        rest = [turn for turn in turns if turn not in alone]
        if rest:
            alone[rest[-1]] = found.spans([turn in rest for turn in range(len(learned))])
        return [alone[turn] for turn in sorted(alone)]

    def _doubtful(self, found: Rendering) -> set[int]:
        """The turns behind one that has lost some text, until the user speaks: they were written with it."""
        losing, doubtful, turn = False, set[int](), 0
        for message in self.trajectory.messages:
            if message["role"] == "user":
                losing = False
            elif message["role"] == "assistant" and turn < len(found.turns):
                if losing:
                    doubtful.add(turn)
                losing |= turn in self.restored and found.lacks(turn) > 0
                turn += 1
        return doubtful

    def _alone(self, found: Rendering, turns: Sequence[int]) -> dict[int, list[Span]]:
        """Of those `turns` of a rendering that are not behind their prompt: the prompt and the turn.

        They are looked for only where a template may drop something, as rendering a prompt takes time.
        """
        if not any(is_restorable(turn, found.dialect) for turn in found.turns):
            return {}
        prompts = {turn: self._prompt(turn) for turn in turns if found.prompted[turn]}
        return {
            turn: [Span(prompt, agent=False), Span(found.written[turn], agent=True)]
            for turn, prompt in prompts.items()
            if prompt is not None and can_replace(found, turn, prompt)
        }

    def _prompt(self, turn: int) -> str | None:
        """The prompt of a turn; None where the template refuses it, or another turn is directly before it."""
        messages = self.trajectory.messages
        places = [place for place, message in enumerate(messages) if message["role"] == "assistant"]
        before = messages[: places[turn]]
        if before and before[-1]["role"] == "assistant":  # two parts of one reply: no prompt was between them
            return None
        template, dialect = speaker(self.tokenizer, self.trajectory.tools)
        adjusted, tools = dialect.adjust(before, self.trajectory.tools)
        try:
            return template.render(adjusted, tools, add_generation_prompt=True)
        except TemplateRefusalError:
            return None


def can_replace(found: Rendering, turn: int, prompt: str) -> bool:
    """Whether `prompt` is another text than that before a turn, which does not have a part of it itself.

    White space is not compared, as Hermes' template adds some. Gemma 4's template writes the text beside a
    call behind the call's result, so a turn there can begin with the end of its prompt.
    """
    before, written = found.before(turn), found.written[turn]
    if before == prompt or "".join(before.split()) == "".join(prompt.split()):
        return False
    return all(before.endswith(text) for text in _shared(prompt, written))


def _shared(prompt: str, turn: str) -> Iterator[str]:
    """Yield the beginnings of `turn` with which `prompt` ends."""
    head = turn[:_HEAD]
    yield from (turn[:length] for length in range(1, len(head)) if prompt.endswith(turn[:length]))
    place = prompt.find(head, max(len(prompt) - len(turn), 0)) if head else -1
    while place >= 0:
        if prompt.endswith(turn[: len(prompt) - place]):
            yield turn[: len(prompt) - place]
        place = prompt.find(head, place + 1)
