"""The arms: what each learns from, with which latents, by which loss, and how it works on the tasks.

All arms of a world start from the same adapted base and are trained on the same runs for the same steps.
`base` is this base as it is, and `react` the control. The module of a baseline names what differs from its
paper.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path
from typing import Any

import lar
from benches.agents import vocabularies
from benches.agents.agent import Agent
from benches.agents.baselines.acon import CompressingAgent
from benches.agents.baselines.concise_hint import HintedAgent
from benches.agents.baselines.published import LOSS, by_next_word
from benches.agents.baselines.token_skip import skipped
from benches.agents.baselines.vanilla import without_thoughts
from benches.agents.student_agent import StudentAgent
from lar.distillation import DistillOptions, Student
from lar.generation.sampling import Sampling
from lar.trajectories import Trajectory

CONTROL = "react"

Runs = Iterable[Trajectory]
Rewrite = Callable[[Runs, Path, str | None], Iterator[Trajectory]]
"""Rewrites runs; it gets the folder of the adapted base, and the device to run it on."""

MakeAgent = Callable[[str, Student, Sampling], Agent]


@dataclass(frozen=True)
class Latents:
    """The latents of an arm.

    size: how many. gate: the entropy gate of `lar.mine`, None without one. by_ngrams: the gate is by the
    n-gram entropies of the runs, as `lar.mine` takes them where there are no scores, and not by the base's.
    maker: makes the vocabulary from the corpus in place of `lar.mine`.
    """

    size: int
    gate: str | None = None
    by_ngrams: bool = False
    maker: Callable[[lar.Corpus, int], lar.LatentVocabulary] | None = None

    @property
    def need_scores(self) -> bool:
        """Whether they are mined from a corpus that the base has scored."""
        return self.gate is not None and not self.by_ngrams

    def mined(self, corpus: lar.Corpus) -> lar.LatentVocabulary:
        """The vocabulary, from the training side of a corpus."""
        if self.maker is not None:
            return self.maker(corpus.training, self.size)
        return lar.mine(corpus, size=self.size, max_entropy=self.gate)


@dataclass(frozen=True)
class Arm:
    """An arm.

    latents: None without any. data: the name of its runs in `DATA`. options: fields of `DistillOptions` that
    differ from the world's. student: the arm whose student it uses; None for one of its own. agent: how the
    student works on the tasks. is_trained: False for the adapted base itself.
    """

    latents: Latents | None = None
    data: str = "runs"
    options: dict[str, Any] = field(default_factory=dict)
    student: str | None = None
    agent: MakeAgent = StudentAgent
    is_trained: bool = True

    def distill_options(self, common: DistillOptions) -> DistillOptions:
        """The world's options with the arm's own; an arm without latents learns as a control."""
        options = replace(common, **self.options)
        return options.as_control() if self.latents is None else options


def _compressing(name: str, student: Student, sampling: Sampling) -> Agent:
    return CompressingAgent(StudentAgent(name, student, sampling))


def _guarded(name: str, student: Student, sampling: Sampling) -> Agent:
    return StudentAgent(name, student, replace(sampling, canonical=True))


def _without_thoughts(runs: Runs, teacher: Path, device: str | None) -> Iterator[Trajectory]:  # noqa: ARG001
    return without_thoughts(runs)


DATA: dict[str, Rewrite | None] = {
    "runs": None,
    "no-thoughts": _without_thoughts,
    "skipped": skipped,
    "skipped-35": partial(skipped, kept=0.35),
}
"""The data of the arms: the world's runs, or a rewriting of them."""

MARGINAL = {"loss": "marginal"}

ARMS: dict[str, Arm] = {
    "base": Arm(is_trained=False),
    CONTROL: Arm(),
    "vanilla": Arm(data="no-thoughts"),
    "lar-32": Arm(Latents(32)),
    "lar-64": Arm(Latents(64)),
    "lar-256": Arm(Latents(256)),
    "lar-1024": Arm(Latents(1024)),
    "lar-64-p90": Arm(Latents(64, "p90")),
    "lar-64-p75": Arm(Latents(64, "p75")),
    "lar-256-p75": Arm(Latents(256, "p75")),
    "lar-64-p90-ngram": Arm(Latents(64, "p90", by_ngrams=True)),
    "lar-64-p75-ngram": Arm(Latents(64, "p75", by_ngrams=True)),
    "lar-1024-p75-ngram": Arm(Latents(1024, "p75", by_ngrams=True)),
    "lar-64-decode-only": Arm(Latents(64), options={"decode_only": True}),
    "lar-64-dropout": Arm(Latents(64), options={"latent_dropout": 0.2}),
    **{f"lar-{size}-marginal": Arm(Latents(size), options=MARGINAL) for size in (64, 256, 1024)},
    "lar-64-marginal-dropout": Arm(Latents(64), options={**MARGINAL, "latent_dropout": 0.2}),
    "lar-64-marginal-guarded": Arm(student="lar-64-marginal", agent=_guarded),
    "lar-64-paper": Arm(Latents(64), options={"loss": "paper"}),
    "lar-64-published": Arm(Latents(64, maker=by_next_word), options=LOSS),
    "next-word-64": Arm(Latents(64, maker=by_next_word)),
    "bpe-64": Arm(Latents(64, maker=vocabularies.bpe)),
    "random-64": Arm(Latents(64, maker=vocabularies.random_for_mined)),
    "token-skip": Arm(data="skipped"),
    "token-skip-35": Arm(data="skipped-35"),
    "acon": Arm(student=CONTROL, agent=_compressing),
    "concise-hint": Arm(student=CONTROL, agent=HintedAgent),
    **{f"{CONTROL}-seed-{seed}": Arm(options={"seed": seed}) for seed in (1, 2)},
    **{f"lar-64-seed-{seed}": Arm(Latents(64), options={"seed": seed}) for seed in (1, 2)},
    "lar-64-marginal-seed-1": Arm(Latents(64), options={**MARGINAL, "seed": 1}),
}
"""The arms by their names. Those with another's student need no training.

A `seed` arm is trained with another seed (rows of a batch, start of the LoRA) from the same adapted base.
"""


def matching(patterns: Iterable[str]) -> list[str]:
    """The names of arms that match a pattern; SystemExit with one line for a pattern without one."""
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in ARMS):
            raise SystemExit(f"{pattern!r} names no arm; there are {', '.join(ARMS)}")
    return [name for name in ARMS if any(fnmatchcase(name, pattern) for pattern in patterns)]
