"""What an arm is, by its name: the base model, a control, or a student with its loss, start values and gate.

base                                the model that all arms begin with
control-sft                         trained with that loss, the same data and steps, no latents
marginal-mean-p70                   a student: loss, row start, gate (p70, 0.05 nats, or `none`)
marginal-mean-p70,unit_weight=0.5   the same with further fields of `DistillOptions`
"""

import json
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Any

from lar.distillation import DistillOptions
from lar.distillation.options import LOSSES
from lar.errors import OptionError
from lar.mining.entropy_gate import parse_gate

BASE, CONTROL, UNGATED = "base", "control", "none"
STARTS = ("exponential", "mean", "first", "hidden")


@dataclass(frozen=True)
class ArmName:
    """An arm's name and what it says; loss, start and gate are None where the arm has none."""

    text: str
    loss: str | None = None
    start: str | None = None
    gate: str | None = None
    more: tuple[tuple[str, Any], ...] = ()

    @classmethod
    def parse(cls, text: str) -> "ArmName":
        """Read a name; SystemExit with one line where it is none."""
        kind, *settings = text.split(",")
        parts = kind.split("-")
        more = tuple(_setting(setting) for setting in settings)
        if parts == [BASE] and not more:
            return cls(text)
        if len(parts) == 2 and parts[0] == CONTROL and parts[1] in LOSSES:
            return cls(text, loss=parts[1], more=more)
        if len(parts) == 3 and parts[0] in LOSSES:
            _check_gate(text, parts[2])
            return cls(text, *parts, more=more)
        raise SystemExit(f"{text!r} names no arm: base, control-LOSS or LOSS-START-GATE, for {LOSSES}")

    @property
    def max_entropy(self) -> str | None:
        """The gate as `lar.mine` takes it."""
        return None if self.gate == UNGATED else self.gate

    def options(self, common: DistillOptions, seed: int) -> DistillOptions:
        """What is `common` to all arms with what this one changes.

        Raises:
            OptionError: this version knows no such loss, start or option.
        """
        changed: dict[str, Any] = {"loss": self.loss, "seed": seed, **dict(self.more)}
        if self.start is None:
            changed["control"] = True
        else:
            changed["row_start"] = self.start
        try:
            return replace(common, **changed)
        except TypeError as error:
            raise OptionError(f"{self.text}: {error}") from None


def plan(gates: list[str], default_gate: str) -> list[ArmName]:
    """The arms of the table, what decides most first: losses x gates, then starts at two gates.

    `gates` come beside the ungated arm. The default loss and start are those of `DistillOptions`.
    """
    default = DistillOptions()
    all_gates = [default_gate, UNGATED, *[gate for gate in gates if gate != default_gate]]
    others = [loss for loss in LOSSES if loss != default.loss]
    starts = [start for start in STARTS if start != default.row_start]
    names = [BASE, f"{CONTROL}-{default.loss}"]
    names += [f"{default.loss}-{default.row_start}-{gate}" for gate in all_gates]
    names += [f"{CONTROL}-sft"]
    names += [f"{loss}-{default.row_start}-{gate}" for gate in all_gates[:2] for loss in others]
    names += [f"{default.loss}-{start}-{gate}" for gate in all_gates[:2] for start in starts]
    names += [f"{loss}-{default.row_start}-{gate}" for gate in all_gates[2:] for loss in others]
    return [ArmName.parse(name) for name in names]


def chosen(wanted: list[str], planned: list[ArmName]) -> list[ArmName]:
    """The planned arms that match one of `wanted`'s patterns, and the arms that it names outright."""
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


def _check_gate(arm: str, gate: str) -> None:
    try:
        parse_gate(None if gate == UNGATED else gate)
    except OptionError as error:
        raise SystemExit(f"{arm!r} names no arm: {error}") from None
