"""The students of a sweep as points, and the boundary that they show."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from math import sqrt
from statistics import mean, stdev
from typing import Any

from lar.utils.words import percent

ROUNDING = 1e-9  # 1 - 97/100 is more than 0.03 by the error of floating point alone


@dataclass(frozen=True, slots=True)
class Point:
    """One student on held-out tasks, or the control, which has no latents.

    gate: the entropy gate of its latents, None without one. size: how many were asked for; latents: how many
    there are. reduction, prompt_reduction: of the agent's text and of what it only reads, 0 where it reads
    base tokens (`decode_only`). bits_per_byte: of the agent's text. success: for each task of the caller's
    world whether it was solved, None without one. same_as: the name of the point with the same latents whose
    student this is, None where it has its own. student: the digest of the measured student's weights and
    latents; None if an earlier version measured it.
    """

    gate: str | None
    size: int
    latents: int
    reduction: float
    prompt_reduction: float
    bits_per_byte: float
    success: tuple[bool, ...] | None = None
    same_as: str | None = None
    student: str | None = None

    @property
    def name(self) -> str:
        """The name of its folder: the gate and the size."""
        return name_of(self.gate, self.size)

    @property
    def success_rate(self) -> float | None:
        """The share of solved tasks; None without a world."""
        return None if self.success is None else mean(self.success)

    def to_dict(self) -> dict[str, Any]:
        """The point as JSON-ready values."""
        return {**asdict(self), "success": None if self.success is None else list(self.success)}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Point":
        """The point that `to_dict` gave."""
        success = values["success"]
        return cls(**{**values, "success": None if success is None else tuple(success)})


def name_of(gate: str | None, size: int) -> str:
    """The name of a point: "none-256", "p75-1024"."""
    return f"{'none' if gate is None else gate}-{size}"


@dataclass(frozen=True, slots=True)
class Boundary:
    """Where students begin to lose more than the tolerance.

    best: the point with the largest reduction below the collapse; None if the very first one collapses, or
    the control solves no task.
    collapse: the point with the smallest reduction that loses more; None if none does.
    """

    best: Point | None
    collapse: Point | None


@dataclass(frozen=True, slots=True)
class Sweep:
    """The result of a sweep.

    tolerance: what a student may lose: a share of the control's bits per byte, or of all tasks where there is
    a world.
    """

    control: Point
    points: tuple[Point, ...]
    tolerance: float

    @property
    def has_success(self) -> bool:
        """Whether success was measured; else the points are compared by bits per byte."""
        return self.control.success is not None

    @property
    def control_fails(self) -> bool:
        """Whether the control solves no task."""
        return self.control.success is not None and not any(self.control.success)

    def loss(self, point: Point) -> float:
        """What a point loses against the control, in the measure of `tolerance`; below zero if it gains."""
        if self.control.success is None or point.success is None:
            return point.bits_per_byte / self.control.bits_per_byte - 1
        return mean(self.control.success) - mean(point.success)

    def is_within(self, point: Point) -> bool:
        """Whether a point loses no more than the tolerance; a loss that equals it is within."""
        return self.loss(point) <= self.tolerance + ROUNDING

    def error(self, point: Point) -> float | None:
        """The standard error of a loss of success, paired by task; None without a world or with one task."""
        if self.control.success is None or point.success is None or len(point.success) < 2:
            return None
        pairs = zip(self.control.success, point.success, strict=True)
        return stdev(float(control) - float(own) for control, own in pairs) / sqrt(len(point.success))

    @property
    def boundary(self) -> Boundary:
        """The points in the order of their reduction, up to the first that loses more than the tolerance.

        Of a control without success there is none: what it cannot do, no student can lose.
        """
        best = None
        if self.control_fails:
            return Boundary(None, None)
        for point in self.by_reduction():
            if not self.is_within(point):
                return Boundary(best, point)
            best = point
        return Boundary(best, None)

    def by_reduction(self) -> list[Point]:
        """The students, those with the smallest reduction first; of equal ones the better first."""
        return sorted(self.students, key=lambda point: (point.reduction, self.loss(point)))

    @property
    def students(self) -> list[Point]:
        """The points with a student of their own."""
        return [point for point in self.points if point.same_as is None]

    def to_dict(self) -> dict[str, Any]:
        """The sweep as JSON-ready values, with what follows from it."""
        boundary = self.boundary
        return {
            "control": self.control.to_dict(),
            "points": [
                {**point.to_dict(), "loss": self.loss(point), "error": self.error(point)}
                for point in self.points
            ],
            "tolerance": self.tolerance,
            "measure": "success" if self.has_success else "bits_per_byte",
            "recommended": None if boundary.best is None else boundary.best.name,
            "collapse": None if boundary.collapse is None else boundary.collapse.name,
            "words": self.in_words(),
        }

    def in_words(self) -> str:
        """The recommendation, and which settings share a student, as a few sentences."""
        return " ".join([self._recommendation(), *self._shared()])

    def _shared(self) -> Iterator[str]:
        shared: dict[str, list[str]] = {}
        for point in self.points:
            if point.same_as is not None:
                shared.setdefault(point.same_as, []).append(point.name)
        for student, names in shared.items():
            yield f"{', '.join(names)}: the same latents as {student}, so one student."

    def _recommendation(self) -> str:
        if self.control_fails:
            return (
                "The control solves no task, so no student can lose any, and no setting is recommended."
                " Train longer, or take easier tasks."
            )
        boundary, limit = self.boundary, self._amount(self.tolerance)
        if boundary.best is None:
            return f"{self._too_much(limit)} Train longer, or use a stricter gate."
        best = f"The setting to take: {_described(boundary.best)} loses {self._lost(boundary.best)}."
        if boundary.collapse is None:
            return f"{best} No setting loses more than {limit}, so a larger reduction may be possible."
        collapse = boundary.collapse
        first = f"The first that loses more than {limit}: {_described(collapse)}, {self._lost(collapse)}."
        later = [point for point in self._within() if point.reduction > collapse.reduction]
        beyond = f" Beyond it, and within that again: {self._listed(later)}." if later else ""
        return f"{best} {first}{beyond}"

    def _too_much(self, limit: str) -> str:
        """That the smallest reduction loses too much, and which points do not."""
        first = self.by_reduction()[0]
        lost = f"{_described(first)} loses {self._lost(first)}."
        if not (within := self._within()):
            return f"No setting loses less than {limit}: {lost}"
        return (
            f"The smallest reduction already loses more than {limit}: {lost} Within that:"
            f" {self._listed(within)}."
        )

    def _within(self) -> list[Point]:
        return [point for point in self.by_reduction() if self.is_within(point)]

    def _listed(self, points: list[Point]) -> str:
        return "; ".join(f"{_described(point)} loses {self._lost(point)}" for point in points)

    def _lost(self, point: Point) -> str:
        error = self.error(point)
        return self._amount(self.loss(point)) + ("" if error is None else f" (± {100 * error:.1f})")

    def _amount(self, loss: float) -> str:
        if self.has_success:
            return f"{100 * loss:z.1f} points of success"
        return f"{percent(loss)} of bits per byte"


def _described(point: Point) -> str:
    gate = "no gate" if point.gate is None else f"gate {point.gate}"
    return f"{point.latents:,} latents, {gate} ({percent(point.reduction)} fewer units)"
