"""Where students begin to lose: by brute force, and in words."""

import json
from dataclasses import fields, replace
from math import sqrt
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lar.evaluation.boundary import Point, Sweep
from lar.evaluation.boundary.plot import picture
from lar.evaluation.boundary.points import ROUNDING

CONTROL = Point(None, 0, 0, 0.0, 0.0, 1.0)
POINTS = st.lists(st.tuples(st.floats(0, 0.9), st.floats(0.5, 2)), min_size=1, max_size=8)


def point(reduction, bits, success=None, size=64):
    return Point("p75", size, size, reduction, 0.0, bits, success)


@given(POINTS, st.floats(0, 0.5))
def test_the_boundary_is_the_last_point_before_the_first_that_loses_more(drawn, tolerance):
    found = Sweep(CONTROL, tuple(point(*one) for one in drawn), tolerance).boundary
    lost = [reduction for reduction, bits in drawn if bits - 1 > tolerance + ROUNDING]
    assert (found.collapse is None) == (not lost)
    if lost:
        assert found.collapse.reduction == min(lost)
    kept = [
        reduction
        for reduction, bits in drawn
        if bits - 1 <= tolerance + ROUNDING and reduction <= min(lost, default=1)
    ]
    assert (found.best is None) == (not kept)
    if kept:
        assert found.best.reduction == max(kept)


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=2, max_size=20))
def test_success_is_paired_by_task(pairs):
    control, own = zip(*pairs, strict=True)
    sweep = Sweep(Point(None, 0, 0, 0.0, 0.0, 1.0, control), (point(0.3, 5.0, own),), 0.01)
    differences = np.array(control, float) - np.array(own, float)
    assert sweep.loss(sweep.points[0]) == pytest.approx(differences.mean())
    assert sweep.error(sweep.points[0]) == pytest.approx(differences.std(ddof=1) / sqrt(len(pairs)))
    assert Point.from_dict(sweep.points[0].to_dict()) == sweep.points[0]


@given(st.integers(1, 300), st.data())
def test_a_loss_of_as_many_tasks_as_the_tolerance_is_within_it(tasks, data):
    lost = data.draw(st.integers(0, tasks))
    control = Point(None, 0, 0, 0.0, 0.0, 1.0, (True,) * tasks)
    own = point(0.3, 1.0, (True,) * (tasks - lost) + (False,) * lost)
    for tolerance, within in ((lost / tasks, True), ((lost - 0.5) / tasks, False)):
        assert (Sweep(control, (own,), tolerance).boundary.best is not None) == within


def test_the_words_name_what_is_within_where_the_smallest_reduction_is_not():
    points = (point(0.2, 1.1, size=64), point(0.3, 1.01, size=256), point(0.5, 1.2, size=1024))
    assert Sweep(CONTROL, points, 0.05).in_words() == (
        "The smallest reduction already loses more than 5.0% of bits per byte: 64 latents, gate p75"
        " (20.0% fewer units) loses 10.0% of bits per byte. Within that: 256 latents, gate p75"
        " (30.0% fewer units) loses 1.0% of bits per byte. Train longer, or use a stricter gate."
    )


@given(POINTS, st.floats(0, 0.5))
def test_the_words_name_all_that_is_within_beyond_the_first_that_loses_more(drawn, tolerance):
    found = Sweep(CONTROL, tuple(point(*one, size=n) for n, one in enumerate(drawn, 1)), tolerance)
    collapse, (_, _, beyond) = found.boundary.collapse, found.in_words().partition("within that again: ")
    if found.boundary.best is None:
        return  # all that is within is named (the test above)
    later = [
        one
        for one in found.points
        if collapse and one.reduction > collapse.reduction and found.is_within(one)
    ]
    assert [f"{one.size} latents" in beyond for one in later] == [True] * len(later)
    assert beyond.count(" latents") == len(later)


def test_the_words_of_the_desk_name_the_ungated_32_latents():
    file = Path(__file__).parents[2] / "docs" / "evidence" / "desk_sweep.json"
    stored = json.loads(file.read_text())
    names = {field.name for field in fields(Point)}
    control, *points = (
        Point.from_dict({name: value for name, value in one.items() if name in names})
        for one in (stored["control"], *stored["points"])
    )
    words = Sweep(control, tuple(points), stored["tolerance"]).in_words()
    assert words.startswith("The setting to take: 16 latents, gate p60 (54.5% fewer units)")
    assert "; 32 latents, no gate (82.3% fewer units) loses 0.0 points of success (± 0.0)" in words
    assert stored["words"] == words


@given(st.integers(1, 20), POINTS, st.floats(0, 1))
def test_of_a_control_without_success_nothing_is_recommended(tasks, drawn, tolerance):
    control = replace(CONTROL, success=(False,) * tasks)
    points = tuple(point(*one, success=(False,) * tasks) for one in drawn)
    found = Sweep(control, points, tolerance)
    assert (found.boundary.best, found.boundary.collapse) == (None, None)
    assert (found.to_dict()["recommended"], found.to_dict()["collapse"]) == (None, None)
    assert found.in_words() == (
        "The control solves no task, so no student can lose any, and no setting is recommended."
        " Train longer, or take easier tasks."
    )


def test_settings_of_one_student_are_one_point_of_the_boundary():
    own = point(0.3, 1.01, size=64)
    shared = tuple(replace(own, size=size, same_as=own.name) for size in (256, 1024))
    found = Sweep(CONTROL, (*shared, own), 0.05)
    assert found.boundary.best == own
    assert found.to_dict()["recommended"] == "p75-64"
    assert found.in_words().endswith(" p75-256, p75-1024: the same latents as p75-64, so one student.")
    assert [value["size"] for value in picture(found)["data"]["values"]] == [64]


def test_the_dashed_line_of_the_picture_is_what_a_student_may_lose():
    by_bits = Sweep(Point(None, 0, 0, 0.0, 0.0, 2.0), (point(0.3, 2.0),), 0.05)
    solved = Point(None, 0, 0, 0.0, 0.0, 2.0, (True,) * 9 + (False,))
    by_success = Sweep(solved, (point(0.3, 2.0, solved.success),), 0.1)
    for sweep, control, limit in ((by_bits, 2.0, 2.1), (by_success, 0.9, 0.8)):
        lines = [layer["encoding"] for layer in picture(sweep)["layer"] if layer["mark"]["type"] == "rule"]
        assert [line["y"]["datum"] for line in lines] == pytest.approx([control, limit])


def test_the_words_of_success_are_points_with_their_error():
    control = Point(None, 0, 0, 0.0, 0.0, 1.0, (True,) * 10)
    own = point(0.3, 1.5, (False,) + (True,) * 9)
    assert Sweep(control, (own,), 0.1).in_words() == (
        "The setting to take: 64 latents, gate p75 (30.0% fewer units) loses 10.0 points of success (± 10.0)."
        " No setting loses more than 10.0 points of success, so a larger reduction may be possible."
    )


def test_the_words_name_the_setting_and_the_collapse():
    points = (point(0.2, 1.01, size=64), point(0.3, 1.04, size=256), point(0.5, 1.2, size=1024))
    words = Sweep(CONTROL, points, 0.05).in_words()
    assert words == (
        "The setting to take: 256 latents, gate p75 (30.0% fewer units) loses 4.0% of bits per byte."
        " The first that loses more than 5.0% of bits per byte: 1,024 latents, gate p75 (50.0% fewer units),"
        " 20.0% of bits per byte."
    )
    assert "a larger reduction may be possible" in Sweep(CONTROL, points, 0.3).in_words()
    assert (
        "No setting loses less than 0.1% of bits per byte: 64 latents"
        in Sweep(CONTROL, points, 0.001).in_words()
    )
