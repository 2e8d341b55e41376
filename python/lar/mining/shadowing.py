"""Which latent is at fault where one takes the text of another.

An engine takes the longest latent at each place. A text that ends inside a base token therefore takes more
than its segment of tokens does: `"<answer> "` with its last space, mined before numbers, is found before
every word, and there it *shadows* `"<answer>"`, which then saves nothing. The one to drop is the first, not
the second.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lar.mining.overlaps import Overlaps

# Share of a latent's worth up to which one that shadows it is dropped in its place. With 1, latents that cut
# each other at indentations go one after another, and intercode_python saves a point less with 256 (counted
# once, on three splits).
SHADOW_WORTH = 0.2


def at_fault(
    texts: Sequence[str], saved: NDArray[np.int64], expected: NDArray[np.int64], min_kept: float
) -> NDArray[np.bool_]:
    """Which of k latents to drop, bool (k).

    saved: what each saves in text, int64 (k). expected: what it saves in tokens, int64 (k). A latent fails
    that saves less than `min_kept` of what is expected. If one overlaps it of which `min_kept` of the saving
    is still more than expected, and which is worth at most `SHADOW_WORTH` as much, that one is dropped in its
    place: the one with the largest surplus.
    """
    fails = saved < min_kept * expected
    surplus = saved - expected
    dropped = fails.copy()
    shadowing = np.flatnonzero((surplus > 0) & (min_kept * saved >= expected)).tolist()
    for failing, found in _shadows(texts, np.flatnonzero(fails).tolist(), shadowing).items():
        worth_less = [one for one in found if expected[one] <= SHADOW_WORTH * expected[failing]]
        if worth_less:
            dropped[failing] = False
            dropped[max(worth_less, key=lambda one: (surplus[one], -one))] = True
    return dropped


def _shadows(texts: Sequence[str], failing: Sequence[int], others: Sequence[int]) -> dict[int, list[int]]:
    """For each of `failing` the `others` that contain its text, or end in its beginning."""
    ordered = sorted(failing, key=texts.__getitem__)
    overlaps = Overlaps([texts[one] for one in ordered])
    found: dict[int, list[int]] = {one: [] for one in failing}
    for other in others:
        for one in {ordered[rank] for rank in overlaps.of(texts[other])} - {other}:
            found[one].append(other)
    return found
