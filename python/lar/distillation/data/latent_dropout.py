"""Latent dropout: some of the agent's latents are spelled out in base tokens while the student learns.

The canonical parse has a latent wherever its text occurs, so the student would never see this text in base
tokens. But a model that generates may begin to spell a latent out, and must then know how to go on. This is
BPE-dropout (arXiv 1910.13267) for latents. What a student is evaluated on is the canonical parse.
"""

import numpy as np
from numpy.typing import NDArray

from lar.vocabulary.vocabulary import Reparameterized


def drawn(parsed: Reparameterized, base_size: int, share: float, seed: tuple[int, ...]) -> NDArray[np.bool_]:
    """Which of the u units to spell out, bool (u): a `share` of the agent's latents, drawn by `seed`.

    A latent that begins or ends inside a base token is never drawn.
    """
    whole = parsed.begins[:-1] & parsed.begins[1:]
    candidates = parsed.action & whole & (parsed.units >= base_size)
    chosen: NDArray[np.bool_] = candidates & (np.random.default_rng(seed).random(len(candidates)) < share)
    return chosen


def spelled(
    parsed: Reparameterized, tokens: NDArray[np.uint32], chosen: NDArray[np.bool_]
) -> Reparameterized:
    """The parse of base ids `tokens` (n) with the `chosen` units, bool (u), replaced by their tokens.

    The first of these tokens does not count as the agent's (`action`), so no loss falls on it: in this place
    the student should still prefer the latent.
    """
    lengths = np.where(chosen, np.diff(parsed.starts), 1)
    of_unit = np.repeat(np.arange(len(lengths)), lengths)
    offset = np.arange(len(of_unit)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    from_token = chosen[of_unit]
    starts = parsed.starts[of_unit] + offset
    return Reparameterized(
        np.where(from_token, tokens[starts], parsed.units[of_unit]).astype(np.uint32),
        parsed.action[of_unit] & ~(from_token & (offset == 0)),
        np.append(starts, parsed.starts[-1]),
        np.append(parsed.begins[of_unit], parsed.begins[-1]),
    )
