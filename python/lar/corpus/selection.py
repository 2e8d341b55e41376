"""Which tasks a view of a corpus holds: objects and no closures, so that views can be pickled."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from lar.errors import CorpusError, OptionError
from lar.trajectories.tasks import one_task

Keep = Callable[[str], bool]
"""Whether a task is selected."""

# The share of the tasks that is held out where none is named: by estimates, reports and the next commands.
HOLD_OUT = 0.2
# The seed of samples (`lar.corpus.task_sample`): another than that of any split.
SAMPLE_SEED = -1


@dataclass(frozen=True, slots=True)
class Split:
    """A split of tasks: about the share `hold_out` is held out, by a task's name and `seed` alone.

    Raises:
        OptionError: `hold_out` is not in [0, 1).
    """

    hold_out: float
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.hold_out < 1:
            raise OptionError(f"the held-out share must be at least 0 and less than 1, not {self.hold_out}")

    def __str__(self) -> str:
        return f"hold out {self.hold_out:g}, seed {self.seed}" if self.hold_out else "nothing held out"

    @classmethod
    def of_json(cls, value: Any) -> Self | None:
        """The split in a manifest or a record, None where it has none.

        Raises:
            ValueError: `value` is no split.
        """
        if value is None:
            return None
        kinds = {"hold_out": (int, float), "seed": (int,)}
        if not isinstance(value, dict) or set(value) != set(kinds):
            raise ValueError(f"not a split: {value!r}")
        if any(type(value[name]) not in kind for name, kind in kinds.items()):
            raise ValueError(f"not a split: {value!r}")
        return cls(**value)

    @classmethod
    def asked_for(cls, hold_out: float | None, seed: int) -> Self | None:
        """The split of two options, None without a share; OptionError for a seed without a share."""
        if hold_out is None and seed:
            raise OptionError("split_seed needs hold_out: it is the seed of that share")
        return None if hold_out is None else cls(hold_out, seed)

    def check_sides(self, tasks: Mapping[str, int], corpus: Path) -> None:
        """Raise CorpusError if a side would have none of the tasks; `corpus` is their folder.

        tasks: how many trajectories each has.
        """
        out = sum(map(self.holds_out, tasks))
        if self.hold_out and out in (0, len(tasks)):
            if warning := one_task(tasks):
                raise CorpusError(f"{corpus}: {warning}")
            if len(tasks) == 1:
                raise CorpusError(
                    f"{corpus}: there is one task, and a split needs two: if the logs have more, name the "
                    "field that holds a record's task, --task-key"
                )
            side = "training" if out else "held-out"
            raise CorpusError(f"{corpus}: no task of {len(tasks)} falls on the {side} side; try another seed")

    def holds_out(self, task: str) -> bool:
        """Whether `task` is held out."""
        return place_of(task, self.seed) < self.hold_out


def place_of(task: str, seed: int) -> float:
    """The place of a task in [0, 1), by its name and `seed` alone: a split holds out the first places."""
    first = hashlib.sha256(f"{seed}:{task}".encode()).digest()[:8]
    return int.from_bytes(first, "big") / 2**64


@dataclass(frozen=True)
class OnSide:
    """Whether a task falls on one side of the split of a share and a seed."""

    hold_out: float
    seed: int
    is_held_out: bool

    @property
    def split(self) -> Split:
        """The split."""
        return Split(self.hold_out, self.seed)

    def __call__(self, task: str) -> bool:
        """Whether `task` is selected."""
        return self.split.holds_out(task) == self.is_held_out


@dataclass(frozen=True)
class InSample:
    """Whether a task's place is below `share`: it is in a sample (`lar.corpus.task_sample`); 1.0: all are."""

    share: float

    def __call__(self, task: str) -> bool:
        """Whether `task` is selected."""
        return place_of(task, SAMPLE_SEED) < self.share


@dataclass(frozen=True)
class Among:
    """Whether a task is among some, or with `is_among` False is not."""

    tasks: frozenset[str]
    is_among: bool

    def __call__(self, task: str) -> bool:
        """Whether `task` is selected."""
        return (task in self.tasks) == self.is_among


@dataclass(frozen=True)
class Both:
    """Whether a task is in two selections."""

    first: Keep
    second: Keep

    def __call__(self, task: str) -> bool:
        """Whether `task` is selected."""
        return self.first(task) and self.second(task)


def split_in(keep: Keep | None) -> Split | None:
    """The first split that a selection is a side of; None where it is no side."""
    if isinstance(keep, Both):
        return split_in(keep.first) or split_in(keep.second)
    return keep.split if isinstance(keep, OnSide) else None
