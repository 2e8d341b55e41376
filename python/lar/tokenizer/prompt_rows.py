"""Rows of one turn behind its prompt, for turns whose prompt begins no rendering of the run.

gpt-oss' template drops reasoning and text beside calls as soon as an answer follows, so no rendering has an
answer behind what its agent read. Mistral Nemo's has the system's text at the end of a prompt only. The
prompt has these, and the turn's own text is that of any rendering.
"""

from collections.abc import Iterable, Iterator, Sequence, Set
from dataclasses import dataclass

from lar.tokenizer.run_prompts import RunPrompts
from lar.tokenizer.spans import Rendering, Span
from lar.tokenizer.unwritten import is_restorable

# Longer beginnings of a turn are looked for by their first characters: all of them would take quadratic time.
_HEAD = 16


@dataclass(frozen=True, slots=True)
class RowsBehindPrompts:
    """The rows of a run's renderings; `restored`: the turns of which a prefix of the run has more than it."""

    prompts: RunPrompts
    restored: Set[int]

    def of(self, found: Rendering, learned: Sequence[bool]) -> tuple[list[list[Span]], list[int]]:
        """The rows in which the `learned` turns of a rendering are learnt, in the order of their last turns.

        It is one row, but for turns that an engine has another text before. These get a row each. Also
        returns the turns that still stand behind another text than their prompt.
        """
        turns = [turn for turn, is_learned in enumerate(learned) if is_learned and found.borders[turn]]
        moved = {turn for turn in turns if self.prompts.is_moved(found, turn)}
        alone = self._alone(found, turns, moved)
        unprompted = [
            turn for turn in turns if turn not in alone and (turn in moved or not found.prompted[turn])
        ]
        if not alone:
            return [found.spans(learned)], unprompted
        rest = [turn for turn in turns if turn not in alone]
        if rest:
            alone[rest[-1]] = found.spans([turn in rest for turn in range(len(learned))])
        return [alone[turn] for turn in sorted(alone)], unprompted

    def _alone(self, found: Rendering, turns: list[int], moved: set[int]) -> dict[int, list[Span]]:
        """Of those `turns` of a rendering that are not behind their prompt: the prompt and the turn.

        They are looked for only where a template moves or drops something, as rendering a prompt takes time.
        """
        if not any(is_restorable(turn, found.dialect) for turn in found.turns):
            return self._replaced(found, moved)
        doubtful = {*self._doubtful(found), *moved, *turns[-1:]}
        alone = self._replaced(found, doubtful.intersection(turns))
        if alone and turns[-1] in alone:  # others may be, too
            alone = self._replaced(found, turns)
        return alone

    def _doubtful(self, found: Rendering) -> set[int]:
        """The turns behind one that has lost some text, until the user speaks: they were written with it."""
        firsts = self.prompts.firsts[: len(found.turns)]
        losing = {
            first: turn
            for turn, first in reversed(list(enumerate(firsts)))
            if turn in self.restored and found.lacks(turn)
        }
        return {turn for turn, first in enumerate(firsts) if losing.get(first, turn) < turn}

    def _replaced(self, found: Rendering, turns: Iterable[int]) -> dict[int, list[Span]]:
        prompts = {turn: self.prompts.of(turn) for turn in sorted(turns) if found.prompted[turn]}
        return {
            turn: [Span(prompt, agent=False), Span(found.written[turn], agent=True)]
            for turn, prompt in prompts.items()
            if prompt is not None and can_replace(found, turn, prompt)
        }


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
