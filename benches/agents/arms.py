"""The arms: what each learns from, with which latents, by which loss, and how it works on the tasks.

All arms of a world start from the same adapted base and are trained on the same runs for the same steps.
`react` is the control. An arm that is a baseline has its module's docstring for what differs from its paper.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import lar
from benches.agents import vocabularies
from benches.agents.baselines.vanilla import without_thoughts
from lar.trajectories import Trajectory

CONTROL = "react"

Rewrite = Callable[[Trajectory], Trajectory]


@dataclass(frozen=True)
class Latents:
    """The latents of an arm.

    size: how many. gate: the entropy gate of `lar.mine`, None without one. maker: makes the vocabulary from
    the corpus in place of `lar.mine`.
    """

    size: int
    gate: str | None = None
    maker: Callable[[lar.Corpus, int], lar.LatentVocabulary] | None = None

    def mined(self, corpus: lar.Corpus) -> lar.LatentVocabulary:
        """The vocabulary, from the training side of a corpus."""
        if self.maker is not None:
            return self.maker(corpus.training, self.size)
        return lar.mine(corpus, size=self.size, max_entropy=self.gate)


@dataclass(frozen=True)
class Arm:
    """An arm.

    latents: None without any. data: the name of its runs in `DATA`. options: fields of `DistillOptions` that
    differ from the world's.
    """

    latents: Latents | None = None
    data: str = "runs"
    options: dict[str, Any] = field(default_factory=dict)


def _random_segments(corpus: lar.Corpus, size: int) -> lar.LatentVocabulary:
    return vocabularies.random_segments(corpus, lar.mine(corpus, size=size))


DATA: dict[str, Rewrite | None] = {"runs": None, "no-thoughts": without_thoughts}
"""The data of the arms: the world's runs, or a rewriting of each."""

ARMS: dict[str, Arm] = {
    CONTROL: Arm(),
    "vanilla": Arm(data="no-thoughts"),
    "lar-256": Arm(Latents(256)),
    "lar-1024": Arm(Latents(1024)),
    "lar-256-p75": Arm(Latents(256, "p75")),
    "lar-1024-p75": Arm(Latents(1024, "p75")),
    "lar-1024-paper": Arm(Latents(1024), options={"loss": "paper"}),
    "bpe-1024": Arm(Latents(1024, maker=vocabularies.bpe)),
    "random-1024": Arm(Latents(1024, maker=_random_segments)),
}
"""The arms by their names."""
