"""The content of the report's page: figures, pictures and commands, as the template takes them."""

from collections.abc import Sequence
from math import sqrt
from statistics import mean
from typing import Any

import numpy as np

from lar.evaluation.reporting import charts, origin, student_record
from lar.evaluation.reporting.evidence import ArmsFile, EstimateFile, StudentRow, SweepFile
from lar.evaluation.reporting.example import Example
from lar.evaluation.reporting.measure import Measured, Saving
from lar.evaluation.reporting.origin import Given
from lar.evaluation.reporting.visible import visible
from lar.utils.words import percent
from lar.vocabulary.vocabulary import LatentVocabulary

_MOST_TOOLS = 15
_MOST_TURNS = 40
COLOURS = 6  # of latents, in the style sheet


def content(given: Given, measured: Measured, example: Example | None) -> dict[str, Any]:
    """All values of the template."""
    draws = charts.can_draw()
    evidence = given.evidence
    by_size = sorted(measured.by_tool.items(), key=lambda row: -row[1].base)
    tools = _bars(by_size, _MOST_TOOLS, f"all others ({len(by_size) - _MOST_TOOLS})")
    by_turn = [(str(number), found) for number, found in sorted(measured.by_turn.items())]
    numbers = _bars(by_turn, _MOST_TURNS, f"{_MOST_TURNS + 1}+")
    arms = [] if evidence.arms is None else _arms(evidence.arms)
    student = None if given.student is None else student_record.read(given.student)
    bill = None if evidence.estimate is None else _bill(evidence.estimate)
    here = {
        "overview": True,
        "latents": True,
        "savings": True,
        "example": example is not None,
        "sizes": evidence.estimate is not None,
        "money": bill is not None,
        "evaluation": evidence.evaluation is not None,
        "success": bool(arms),
        "boundary": evidence.sweep is not None,
        "student": student is not None,
        "logs": True,
        "versions": True,
    }
    return {
        "sections": [name for name, is_here in here.items() if is_here],
        "given": given,
        "measured": measured,
        "generated": measured.total(measured.generated),
        "prompt": measured.total(measured.prompt),
        "latents": sorted(measured.latents, key=lambda use: (-use.saved, use.latent.id)),
        "tool_names": sorted({name for use in measured.latents for name in use.tools}),
        "tools": tools,
        "numbers": numbers,
        "example": example,
        "gate": given.vocabulary.mining.get("max_entropy_nats"),
        "evidence": evidence,
        "doubts": given.doubts,
        "colours": COLOURS,
        "bill": bill,
        "arms": arms,
        "student": student,
        "pictures": _pictures(given, tools, numbers, example, arms) if draws else {},
        "commands": origin.commands(given),
        "versions": origin.versions(given),
        "missing": [*origin.missing(given, example), *([] if draws else [origin.NO_PICTURES])],
    }


def _bars(rows: Sequence[tuple[str, Saving]], most: int, others: str) -> list[tuple[str, Saving]]:
    """The first `most` rows, and the sum of the others under the name `others`."""
    rest = dict(rows[most:])
    return [*rows[:most], *([(others, Measured.total(rest))] if rest else [])]


def _pictures(
    given: Given,
    tools: Sequence[tuple[str, Saving]],
    numbers: Sequence[tuple[str, Saving]],
    example: Example | None,
    arms: Sequence[charts.Row],
) -> dict[str, charts.Picture]:
    estimate = given.evidence.estimate
    found = {
        "tools": charts.kept_and_saved([(name, row.base, row.units) for name, row in tools], "tool"),
        "turns": charts.kept_and_saved(
            [(name, row.base, row.units) for name, row in numbers], "turn", upright=True
        ),
    }
    if estimate is not None:
        points = [point.model_dump() for point in estimate.points]
        found["curve"] = charts.curve(points, estimate.recommended.model_dump())
    if example is not None and example.scored:
        gate = given.vocabulary.mining.get("max_entropy_nats")
        found["entropies"] = charts.entropies(_stretches(example, given.vocabulary), gate)
    if len(arms) > 1:
        found["success"] = charts.success(arms)
    if given.evidence.sweep is not None:
        found["boundary"] = _boundary(given.evidence.sweep)
    return found


def _boundary(sweep: SweepFile) -> charts.Picture:
    by_success = sweep.measure == "success"

    def kept(one: StudentRow) -> float:
        return mean(one.success or [False]) if by_success else one.bits_per_byte

    points = [
        {"gate": one.gate or "none", "size": one.size, "x": one.reduction, "y": kept(one)}
        for one in sweep.points
        if one.same_as is None
    ]
    control = kept(sweep.control)
    limit = control - sweep.tolerance if by_success else control * (1 + sweep.tolerance)
    return charts.boundary(points, control, limit, "success" if by_success else "bits per byte")


def _stretches(example: Example, vocabulary: LatentVocabulary) -> list[charts.Stretch]:
    """The units of the example, with the texts of their base tokens."""
    found = []
    for turn in example.turns:
        for place, unit in enumerate(turn.units):
            texts, colour = [unit.text] * len(unit.entropies), None
            if unit.latent is not None:
                tokens = vocabulary.latents[unit.latent].tokens
                if len(tokens) == len(texts):  # else it begins or ends inside a token
                    ids, places = np.array(tokens, np.uint32), np.arange(len(tokens) + 1)
                    texts = vocabulary.tokenizer.texts_within(ids, places)
                colour = f"c{unit.latent % COLOURS}"
            found.append(charts.Stretch(tuple(texts), unit.entropies, colour, place == 0))
    return found


def _arms(file: ArmsFile) -> list[charts.Row]:
    """The agents with the interval of each one's success."""
    rows = []
    for name, arm in file.arms.items():
        low, high = wilson(arm.success, file.tasks) if file.tasks else (arm.success, arm.success)
        rows.append({"name": name, **arm.model_dump(), "low": low, "high": high})
    return rows


def wilson(share: float, number: int) -> tuple[float, float]:
    """The 95% interval (Wilson's) of a share that was counted over `number` tasks."""
    z = 1.96
    middle = (share + z * z / (2 * number)) / (1 + z * z / number)
    half = z * sqrt(share * (1 - share) / number + z * z / (4 * number * number)) / (1 + z * z / number)
    return max(min(middle - half, share), 0.0), min(max(middle + half, share), 1.0)


def _bill(estimate: EstimateFile) -> dict[str, Any] | None:
    """A month's bill: the rows of its arithmetic, and the saving at both ends."""
    bill, best = estimate.bill, estimate.best
    if bill is None:
        return None
    rows = []
    for kind, label, cost in (
        ("base", "without latents", bill.without),
        ("units", f"with {best.size:,} latents", bill.with_latents[0]),
    ):
        names = ("generated", "sent", "new", "cached")
        written, sent, new, cached = (getattr(best, f"{kind}_{name}") for name in names)
        parts = [("sent", sent, bill.price_input)]
        if bill.price_cached is not None:
            parts = [("new", new, bill.price_input), ("cached", cached, bill.price_cached)]
        rows.append((label, [*parts, ("written", written, bill.price_output)], cost))
    saved = sorted(bill.without - cost for cost in bill.with_latents)
    return {"rows": rows, "runs": bill.runs, "saved": saved, "without": bill.without}


def _number(value: float) -> str:
    return f"{value:,.0f}"


def _money(value: float) -> str:
    return f"{value:,.2f}"


FILTERS = {"n": _number, "pct": percent, "money": _money, "visible": visible}
