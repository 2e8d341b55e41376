"""Which size to take where none is given: `lar.mine` takes it, and `lar.estimate` recommends it."""

from collections.abc import Callable, Iterable
from typing import TypeVar

from lar.vocabulary.learnable import are_learnable
from lar.vocabulary.turn_lengths import TurnLength

Found = TypeVar("Found")


def largest_fitting(
    found: Iterable[Found], measures: Callable[[Found], tuple[float, TurnLength]]
) -> tuple[Found, Found | None]:
    """The largest size that fits, else the last; and the next larger one, which does not: None without one.

    A size fits if a student can learn its latents, and if they leave a turn enough units.
    found: at least one result, the largest size first; none is asked for after the one that is taken.
    measures: the `learnable_share` of a result, and a turn's length on the mined tasks.
    """
    larger: Found | None = None
    one: Found | None = None
    for result in found:
        larger, one = one, result
        share, turn = measures(one)
        if are_learnable(share) and not turn.is_short:
            break
    if one is None:
        raise ValueError("there is no result to take")
    return one, larger
