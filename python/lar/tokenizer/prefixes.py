"""A run as its agent saw it, where the chat template leaves out the reasoning of earlier turns.

An agent writes each turn at the end of a conversation, with its reasoning. Many templates leave that out once
the conversation goes on: Qwen3's when the user speaks again, others after each turn. A model that learnt such
a turn from the rendered run would learn not to reason. So the turn is learnt from a prefix of the run that
still has its reasoning, and so are the turns after it that were written while it was there.

The same is done for a turn that is not behind its prompt in the rendered run: where a prompt ends with
`<think>` and the template leaves this out later (Qwen3.5), or has the tools before the last question
(Mistral).
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from lar.errors import TokenizerError
from lar.tokenizer.prompt_rows import RowsBehindPrompts
from lar.tokenizer.run_prompts import RunPrompts
from lar.tokenizer.spans import Rendering, Span, rendering
from lar.tokenizer.tokenizer import Tokenizer
from lar.tokenizer.unwritten import Unwritten, unwritten
from lar.trajectories.schema import Trajectory

# A template that has left out the reasoning of so many turns of a form, each at the end of its prefix, never
# writes it.
_TRIED = 2


@dataclass(frozen=True, slots=True)
class Prefixes:
    """A run's rendered prefixes, as spans, and what of the agent's text is in none of them.

    spans: the prefixes in the order of their last turns, at least one; each turn that is learnt is the
    agent's in one of them. What follows the last of these turns can be missing. unprompted: the numbers (from
    1) of those of these turns that stand behind another text than their prompt.
    """

    spans: list[list[Span]]
    unwritten: Unwritten
    unprompted: list[int]


def prefixes(tokenizer: Tokenizer, trajectory: Trajectory) -> Prefixes:
    """Render a run; where it lacks what its agent read or wrote and a prefix of it has, render this, too.

    Raises:
        TokenizerError: the template refuses the run, or it does not show which text is the agent's.
    """
    whole, prompts = rendering(tokenizer, trajectory), RunPrompts(tokenizer, trajectory)
    learned, written = [turn.get("weight") != 0 for turn in whole.turns], whole.written
    found: list[tuple[Rendering, list[bool]]] = []
    restored: set[int] = set()
    for prefix, group in _Search(tokenizer, trajectory, whole, prompts).restoring():
        here = [turn in group and is_learned for turn, is_learned in enumerate(learned[: group.stop])]
        if any(here):
            found.append((prefix, here))
        restored.update(turn for turn in group if prefix.lacks(turn) < whole.lacks(turn))
        written[group.start : group.stop] = prefix.written[group.start :]
        learned[group.start : group.stop] = [False] * len(group)
    found.reverse()
    if any(learned) or not found:
        found.append((whole, learned))
    behind = [RowsBehindPrompts(prompts, restored).of(one, here) for one, here in found]
    return Prefixes(
        spans=[row for rows, _ in behind for row in rows],
        unwritten=unwritten(trajectory.id, whole.turns, written, whole.dialect),
        unprompted=sorted(turn + 1 for _, turns in behind for turn in turns),
    )


class _Search:
    """The prefixes of a run that hold what the rendered run lacks, as `_lacks` counts it."""

    def __init__(
        self, tokenizer: Tokenizer, trajectory: Trajectory, whole: Rendering, prompts: RunPrompts
    ) -> None:
        self._tokenizer = tokenizer
        self._trajectory = trajectory
        self._whole = whole
        self._prompts = prompts
        self._lacking = [self._lacks(whole, turn) for turn in range(len(whole.turns))]
        self._failed: Counter[tuple[bool, ...]] = Counter()  # turns, by their form

    def restoring(self) -> Iterator[tuple[Rendering, range]]:
        """Yield, the longest first, prefixes and the turns that are to be learnt from each.

        The turns of one are neighbours, up to its last, and no two prefixes share one.
        """
        wanted = [turn for turn, characters in enumerate(self._lacking) if characters]
        before = len(self._lacking)  # the turns from here on have their prefix
        while wanted:
            first = last = wanted.pop()
            found = self._longest(last, before)
            if found is None:
                continue
            while wanted and self._holds(found, wanted[-1]):
                first = wanted.pop()
            before = first
            yield found, range(first, len(found.turns))

    def _longest(self, turn: int, before: int) -> Rendering | None:
        """The longest prefix that ends with a turn below `before` and has what `turn` lacks."""
        form = self._form(turn)
        if self._failed[form] >= _TRIED:
            return None
        found, low, high = self._prefix(turn), turn, before - 1
        if found is None or not self._holds(found, turn):
            self._failed[form] += found is not None
            return None
        while low < high:  # one that ends at `low` has it, and longer ones may
            middle = high if low == turn else (low + high + 1) // 2
            prefix = self._prefix(middle)
            if prefix is not None and self._holds(prefix, turn):
                found, low = prefix, middle
            else:
                high = middle - 1
        return found

    def _prefix(self, turn: int) -> Rendering | None:
        """The prefix that ends with a turn; None where the template refuses it."""
        try:
            return rendering(self._tokenizer, self._trajectory, self._prompts.places[turn] + 1)
        except TokenizerError:
            return None

    def _holds(self, prefix: Rendering, turn: int) -> bool:
        return self._lacks(prefix, turn) < self._lacking[turn]

    def _lacks(self, found: Rendering, turn: int) -> int:
        """The characters that a turn lacks, as `Rendering.lacks` counts; one more if its prompt is moved."""
        return found.lacks(turn) + self._prompts.is_moved(found, turn)

    def _form(self, turn: int) -> tuple[bool, ...]:
        """By what a template may tell whether to write what a turn lacks: its prompt, some text, or both."""
        message, is_unprompted = self._whole.turns[turn], not self._whole.prompted[turn]
        calls, content = message.get("tool_calls", ()), message["content"]
        parts = message.get("reasoning_content"), content, "</think>" in content, calls, len(calls) > 1
        is_first = self._prompts.firsts[turn] == turn  # Mistral Nemo writes the system's text before it only
        return is_unprompted, is_first, self._lacking[turn] > is_unprompted, *map(bool, parts)
