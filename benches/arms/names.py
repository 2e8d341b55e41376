"""The arms: the base model, controls, and students of one loss, row start and vocabulary. A name is an arm.

base                                the base model, which is the teacher of all other arms
control                             trained on the same data for the same steps, without latents
marginal-mean-p75                   a student: loss, row start, gate (p75, 0.05 nats, or `none`)
marginal-mean-p90.ngram             a gate by the n-gram entropies of the runs, without scores of the base
marginal-mean-bpe                   the latents of a baseline in place of mined ones (`MAKERS`)
marginal-mean-p75,unit_weight=0.5   the same with other values of `DistillOptions`
marginal-mean-p75,mine.size=16      the same with other values of `MiningOptions`
"""

import json
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import Any, cast

from benches.agents import vocabularies
from benches.agents.baselines.published import by_next_word
from lar.distillation import DistillOptions
from lar.distillation.options import LOSSES, ROW_STARTS
from lar.errors import OptionError
from lar.mining.options import MiningKeywords, MiningOptions

BASE, CONTROL, UNGATED = "base", "control", "none"

MAKERS = {
    "bpe": vocabularies.bpe,
    "random": vocabularies.random_for_mined,
    "published": by_next_word,
}
"""Baselines that make latents of a corpus, as many as they are asked for."""


MINING = "mine."
"""Begins the name of a setting that is one of `MiningOptions`."""

NGRAM = ".ngram"
"""Ends the name of a gate by n-gram entropies, as `lar.mine` takes them where there are no scores."""


@dataclass(frozen=True)
class ArmName:
    """An arm's name in parts. `latents` is a gate or a name in `MAKERS`; what an arm has not is None."""

    text: str
    loss: str | None = None
    start: str | None = None
    latents: str | None = None
    more: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str) -> "ArmName":
        """Read a name; SystemExit with one line where it names no arm."""
        kind, *settings = text.split(",")
        parts = kind.split("-")
        more = dict(map(_setting, settings))
        if parts == [BASE] and not more:
            return cls(text)
        if parts == [CONTROL]:
            arm = cls(text, more=more)
        elif len(parts) == 3:
            arm = cls(text, *parts, more=more)
        else:
            raise SystemExit(f"{text!r} names no arm: base, control or LOSS-START-LATENTS")
        if (arm.latents is None or arm.latents in MAKERS) and any(name.startswith(MINING) for name in more):
            raise SystemExit(f"{text!r} names no arm: options of mining are for mined latents")
        try:
            MiningOptions(**arm.mining)
            arm.options(DistillOptions(), seed=0)
        except (OptionError, TypeError) as error:
            raise SystemExit(f"{text!r} names no arm: {error}") from None
        return arm

    @property
    def mining(self) -> MiningKeywords:
        """The arm's arguments of `lar.mine`."""
        found = {
            name.removeprefix(MINING): value for name, value in self.more.items() if name.startswith(MINING)
        }
        if self.latents not in (None, UNGATED, *MAKERS):
            found["max_entropy"] = self.latents.removesuffix(NGRAM)
        return cast("MiningKeywords", found)

    @property
    def needs_scores(self) -> bool:
        """Whether the arm's gate is by the base's entropies."""
        return not (self.latents or "").endswith(NGRAM)

    @property
    def vocabulary(self) -> str:
        """A name of the arm's latents, which arms with the same latents share."""
        parts = [f"{name}={value}" for name, value in self.more.items() if name.startswith(MINING)]
        return ",".join([self.latents or UNGATED, *sorted(parts)])

    def options(self, common: DistillOptions, seed: int) -> DistillOptions:
        """The options of this arm: `common` with what the arm's name changes."""
        more = {name: value for name, value in self.more.items() if not name.startswith(MINING)}
        if self.text.startswith(CONTROL):
            return replace(common, seed=seed, **more).as_control()
        return replace(common, seed=seed, loss=self.loss, row_start=self.start, **more)


def plan(gates: list[str], default_gate: str) -> list[ArmName]:
    """The arms of the table, the most important first: losses by gates, then row starts at two gates.

    The gates are `default_gate`, none, and `gates`. The default loss and start are those of `DistillOptions`.
    """
    default = DistillOptions()
    all_gates = [default_gate, UNGATED, *[gate for gate in gates if gate != default_gate]]
    others = [loss for loss in LOSSES if loss != default.loss]
    starts = [start for start in ROW_STARTS if start != default.row_start]
    names = [BASE, CONTROL]
    names += [f"{default.loss}-{default.row_start}-{gate}" for gate in all_gates]
    names += [f"{loss}-{default.row_start}-{gate}" for gate in all_gates[:2] for loss in others]
    names += [f"{default.loss}-{start}-{gate}" for gate in all_gates[:2] for start in starts]
    names += [f"{loss}-{default.row_start}-{gate}" for gate in all_gates[2:] for loss in others]
    return [ArmName.parse(name) for name in names]


def chosen(wanted: list[str], planned: list[ArmName]) -> list[ArmName]:
    """The planned arms that match a pattern of `wanted`, and the other arms that `wanted` names in full."""
    kept = [arm for arm in planned if any(fnmatchcase(arm.text, pattern) for pattern in wanted)]
    known = {arm.text for arm in kept}
    named = [text for text in wanted if "*" not in text and text not in known]
    return kept + [ArmName.parse(text) for text in named]


def _setting(text: str) -> tuple[str, Any]:
    name, _, value = text.partition("=")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value
