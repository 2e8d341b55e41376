"""The sentence about the recommended size: what `lar estimate` prints, and its report too."""

from typing import TYPE_CHECKING

from lar.mining.options import SIZES
from lar.utils.words import percent
from lar.vocabulary.learnable import LEARNABLE, are_learnable
from lar.vocabulary.turn_lengths import FEW_UNITS

if TYPE_CHECKING:
    from lar.evaluation.estimate import Estimate

# A smaller share of what the agent wrote is not named beside what latents save of the rest.
CONSIDERABLE = 0.05
# A vocabulary with a smaller share of its size is named as short. Large logs lack a few latents too, as the
# gate `served` drops those that fail at last without replacement: tau_bench has 1,017 of 1,024.
SHORT = 0.95


def in_words(found: "Estimate") -> str:
    """What to take and by which rule, and whether its latents are too rare."""
    best = found.recommended
    named = f"{best.size} latents{found_in_words(best.size, best.latents)}"
    named += "" if best.gate is None else f" behind the gate {best.gate}"
    is_of_mine = {point.size for point in found.points} == set(SIZES)  # it chooses of these, and no others
    if found.prompt_weight:
        rule = "the largest number: lar mine's rule" if is_of_mine else "the largest of these: the rule"
        return f"Take {named}, {rule} with a prompt weight ({_saved(found)})."
    uses = f"{LEARNABLE} uses or more in {_counted_on(found)}"
    if are_learnable(best.learnable):
        number = "number" if is_of_mine else "of these numbers"
        largest = f"the largest {number} of which half or more have {uses}"
        few = f"a turn would be fewer than {FEW_UNITS:g} units"
        rule = f"Take {named} by lar mine's rule: {largest}"
        if best.turn.is_short:
            rule = f"Take {named}, the smallest number: with each, {few}"
        elif found.is_limited_by_turns:
            rule += f"; with more, {few}"
        rule += f" ({_saved(found)})."
        if found.whole.held_out or best.turn.is_short:
            return rule
        fewer = ", and lar mine may take fewer latents" if is_of_mine and best.size > SIZES[0] else ""
        return f"{rule} When tasks are held out, fewer uses are left{fewer}."
    does = ", as lar mine does; more logs" if is_of_mine else "; fewer latents or more logs"
    return (
        f"Too few logs: even of {named} only {best.learnable:.0%} have {uses}. Take {best.size}"
        f" ({_saved(found)}){does} would help (docs/howto/choose.md)."
    )


def _saved(found: "Estimate") -> str:
    """What the recommended size saves, of which part of the text, and what a smaller one saves."""
    best, knee = found.recommended, found.knee
    saved = f"{percent(best.reduction)} of what the agent writes"
    if missing := unwritten_in_words(found.unwritten):
        saved += f", without {missing}"
    if knee is not best:
        saved += f"; {knee.size} latents save {percent(knee.reduction)}"
    return saved


def found_in_words(size: int, latents: float | None) -> str:
    """How many latents were found, where they are `SHORT` of the size, to stand after it; else empty."""
    if latents is None or latents >= SHORT * size:
        return ""
    return f" ({latents:,.0f} found)"


def unwritten_in_words(share: float) -> str:
    """What of the agent's text is in no figure, where that is `CONSIDERABLE`; else empty."""
    if share < CONSIDERABLE:
        return ""
    return f"{share:.1%} of the agent's characters, which the chat template leaves out"


def _counted_on(found: "Estimate") -> str:
    """The tasks that the latents' uses are counted on."""
    if found.is_sample:
        return "these tasks, scaled to all logs"
    if found.whole.held_out:
        return f"the {found.tasks:,} tasks that are not held out"
    return f"all {found.tasks:,} tasks, with none held out"
