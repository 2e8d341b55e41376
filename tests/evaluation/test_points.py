"""Where students begin to lose: by brute force, and in words."""

from math import sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lar.evaluation.boundary import Point, Sweep

CONTROL = Point(None, 0, 0, 0.0, 0.0, 1.0)
POINTS = st.lists(st.tuples(st.floats(0, 0.9), st.floats(0.5, 2)), min_size=1, max_size=8)


def point(reduction, bits, success=None, size=64):
    return Point("p75", size, size, reduction, 0.0, bits, success)


@given(POINTS, st.floats(0, 0.5))
def test_the_boundary_is_the_last_point_before_the_first_that_loses_more(drawn, tolerance):
    found = Sweep(CONTROL, tuple(point(*one) for one in drawn), tolerance).boundary
    lost = [reduction for reduction, bits in drawn if bits - 1 > tolerance]
    assert (found.collapse is None) == (not lost)
    if lost:
        assert found.collapse.reduction == min(lost)
    kept = [
        reduction for reduction, bits in drawn if bits - 1 <= tolerance and reduction <= min(lost, default=1)
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
