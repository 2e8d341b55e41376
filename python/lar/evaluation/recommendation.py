"""The sentence about the recommended size: what `lar estimate` prints, and its report too."""

from typing import TYPE_CHECKING

from lar.vocabulary.learnable import LEARNABLE, are_learnable

if TYPE_CHECKING:
    from lar.evaluation.estimate import Estimate

# A smaller share of what the agent wrote is not named beside what latents save of the rest.
CONSIDERABLE = 0.05


def in_words(found: "Estimate") -> str:
    """What to take and by which rule, and whether its latents are too rare."""
    best, knee = found.recommended, found.knee
    named = f"{best.size} latents" + ("" if best.gate is None else f" behind the gate {best.gate}")
    saved = f"{best.reduction:.1%} of what the agent writes"
    if missing := unwritten_in_words(found.unwritten):
        saved += f", without {missing}"
    if knee is not best:
        saved += f"; {knee.size} latents save {knee.reduction:.1%}"
    if found.prompt_weight:
        return f"Take {named}, the largest number: lar mine's rule with a prompt weight ({saved})."
    uses = f"{LEARNABLE} uses or more in {_counted_on(found)}"
    if are_learnable(best.learnable):
        largest = f"the largest number of which half or more have {uses}"
        rule = f"Take {named} by lar mine's rule: {largest} ({saved})."
        if found.whole.held_out:
            return rule
        return f"{rule} When tasks are held out, fewer uses are left, and lar mine may take fewer latents."
    return (
        f"Too few logs: even of {named} only {best.learnable:.0%} have {uses}. Take {best.size} ({saved}), as"
        " lar mine does; more logs would help (docs/howto/choose.md)."
    )


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
