"""Drift: latents that mining used and that fresh logs no longer use, where chance does not explain it."""

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from math import exp, lgamma
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lar.corpus import Corpus
from lar.corpus.backend import Backend
from lar.vocabulary.latent import Latent
from lar.vocabulary.segments import Segments
from lar.vocabulary.vocabulary import LatentVocabulary

logger = logging.getLogger(__name__)

# The probability that a latent of the vocabulary is named although nothing has changed.
FALSE_ALARM = 0.01

Occurring = Callable[[Segments], NDArray[np.bool_]]
"""Whether the measured text has each of k segments; bool (k)."""


@dataclass(frozen=True, slots=True)
class UnusedLatent:
    """A latent that mining used and the measured text does not use.

    expected_uses: the uses in mining for each mined base token, times the measured base tokens. Tokens and
    uses are the agent's, or those of all text if prompts had a weight in mining.
    drifted: whether the text of the segment is gone, by more than chance (see `unused_latents`).
    """

    latent: Latent
    expected_uses: float
    drifted: bool

    @property
    def expected_saving(self) -> float:
        """Units that the expected uses would save."""
        return self.expected_uses * (len(self.latent) - 1)

    def to_dict(self) -> dict[str, Any]:
        """The latent and the figures as JSON-ready values."""
        return {
            "id": self.latent.id,
            "text": self.latent.text,
            "expected_uses": round(self.expected_uses, 2),
            "expected_saving": round(self.expected_saving, 2),
            "drifted": self.drifted,
        }


def unused_latents(
    vocabulary: LatentVocabulary,
    used: NDArray[np.bool_],
    base_tokens: int,
    tasks: int,
    occurring: Occurring,
) -> list[UnusedLatent]:
    """The latents that mining used and `used`, bool (K), has not; those that would save most are first.

    `used`, `occurring` and the number of `base_tokens` are of the agent's text in the measured tasks, or of
    all text where `counts_prompts`. `tasks` is the number of tasks that have such text. The list is empty
    where the vocabulary has no record of how much text it was mined on.

    A latent has drifted if its segment is in none of the measured tasks (not even where another latent
    covers it), and `chance_of_absence` is at most `FALSE_ALARM` divided by the number of latents that mining
    used (Bonferroni's correction). Uses are no evidence of their own, since one task may have many of them.
    """
    mined_tokens, mined_tasks = _mined(vocabulary.mining, "action_tokens"), _mined(vocabulary.mining, "tasks")
    if mined_tokens is None or mined_tasks is None:
        logger.warning(
            "drift is unknown: the vocabulary has no record of the tokens and tasks it was mined on"
        )
        return []
    if counts_prompts(vocabulary):
        mined_tokens += _mined(vocabulary.mining, "prompt_tokens") or 0
    of_mining = np.array([latent.uses + latent.prompt_uses > 0 for latent in vocabulary], dtype=np.bool_)
    level = FALSE_ALARM / max(int(of_mining.sum()), 1)
    unused = [latent for latent, is_listed in zip(vocabulary, of_mining & ~used, strict=True) if is_listed]
    suspects = [one for one in unused if chance_of_absence(one.support, mined_tasks, tasks) <= level]
    there = occurring(Segments.of(one.tokens for one in suspects)) if suspects else ()
    gone = {one.id for one, is_there in zip(suspects, there, strict=True) if not is_there}
    scale = base_tokens / mined_tokens
    found = [UnusedLatent(one, (one.uses + one.prompt_uses) * scale, one.id in gone) for one in unused]
    return sorted(found, key=lambda one: (-one.expected_saving, one.latent.id))


def chance_of_absence(support: int, mined: int, measured: int) -> float:
    """The probability that none of the `measured` tasks has what `support` of the `mined` tasks have.

    The null hypothesis is that all N + n tasks are of one population, so that each choice of the m tasks that
    have the segment is equally likely. All m are among the N mined ones with probability

        C(N, m) / C(N + n, m)

    This is the one-sided p-value of Fisher's exact test (Fisher, Statistical Methods for Research Workers,
    section 21.02) for a table in which one cell is 0. It includes the error of a share that is estimated from
    N tasks. Tasks are counted, not runs or uses: those of one task are alike.
    """
    total, m = mined + measured, min(support, mined)
    return exp(lgamma(mined + 1) - lgamma(mined - m + 1) + lgamma(total - m + 1) - lgamma(total + 1))


def occurring_in(
    segments: Segments, corpora: Iterable[Corpus], backend: Backend, *, prompts: bool
) -> NDArray[np.bool_]:
    """Whether each of k segments occurs in the agent's text, with `prompts` in all text; bool (k)."""
    found = np.zeros(len(segments), dtype=np.bool_)
    for corpus in corpora:
        for prompt in (False, True) if prompts else (False,):
            runs = backend.fold(corpus, None, prompt=prompt)
            found |= runs.count_occurrences(segments.tokens, segments.offsets) > 0
    return found


def counts_prompts(vocabulary: LatentVocabulary) -> bool:
    """Whether prompts had a weight in mining, so that a latent is of use in a prompt too."""
    return bool(vocabulary.mining.get("prompt_weight"))


def mined_reduction(vocabulary: LatentVocabulary) -> float | None:
    """The reduction of the agent's text in the corpus that was mined; None where it is not recorded.

    It is that of the token parse, with which mining counts. An evaluation counts the canonical parse, which
    can save a little more or less of the same text.
    """
    mined_tokens = _mined(vocabulary.mining, "action_tokens")
    if mined_tokens is None:
        return None
    return sum(latent.saving for latent in vocabulary) / mined_tokens


def _mined(mining: Mapping[str, Any], name: str) -> int | None:
    """A number in the record of mining; None where it is missing or no positive count."""
    value = mining.get(name)
    return value if isinstance(value, int) and value > 0 else None
