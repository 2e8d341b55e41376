"""A run as its agent saw it, where the chat template leaves out the reasoning of earlier turns.

An agent writes each turn at the end of a conversation, with its reasoning. Many templates leave that out once
the conversation goes on: Qwen3's when the user speaks again, others after each turn. A model that learnt such
a turn from the rendered run would learn not to reason. So the turn is learnt from a prefix of the run that
still has its reasoning.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from lar.errors import TokenizerError
from lar.tokenizer.spans import Rendering, Span, rendering
from lar.tokenizer.tokenizer import Tokenizer
from lar.tokenizer.unwritten import Unwritten, unwritten
from lar.trajectories.schema import Trajectory


@dataclass(frozen=True, slots=True)
class Prefixes:
    """A run's rendered prefixes, as spans, and what of the agent's text is in none of them.

    spans: the prefixes by length, at least one; each turn that is learnt is the agent's in one of them. What
    follows the last of these turns can be missing.
    """

    spans: list[list[Span]]
    unwritten: Unwritten


def prefixes(tokenizer: Tokenizer, trajectory: Trajectory) -> Prefixes:
    """Render a run; where it lacks reasoning that a prefix of it has, render this, too.

    Raises:
        TokenizerError: the template refuses the run, or it does not show which text is the agent's.
    """
    whole = rendering(tokenizer, trajectory)
    learned = [turn.get("weight") != 0 for turn in whole.turns]
    written = whole.written
    spans: list[list[Span]] = []
    for prefix, found in _restoring(tokenizer, trajectory, whole, learned):
        for turn in found:
            learned[turn] = False
            written[turn] = prefix.written[turn]
        spans.append(prefix.spans([turn in found for turn in range(len(prefix.turns))]))
    spans.reverse()
    if any(learned) or not spans:
        spans.append(whole.spans(learned))
    return Prefixes(spans, unwritten(trajectory.id, whole.turns, written, whole.dialect))


def _restoring(
    tokenizer: Tokenizer, trajectory: Trajectory, whole: Rendering, learned: Sequence[bool]
) -> Iterator[tuple[Rendering, set[int]]]:
    """Yield, the longest first, prefixes that hold more reasoning than the run, and of which turns."""
    places = [place for place, message in enumerate(trajectory.messages) if message["role"] == "assistant"]
    lacking = whole.lacking
    wanted = {turn for turn, is_learned in enumerate(learned) if is_learned and lacking[turn]}
    while wanted:
        last = max(wanted)
        wanted.remove(last)
        try:
            prefix = rendering(tokenizer, trajectory, places[last] + 1)
        except TokenizerError:
            continue
        found = {turn for turn in {*wanted, last} if turn <= last and prefix.lacking[turn] < lacking[turn]}
        if last in found:
            wanted -= found
            yield prefix, found
