"""The figures of arms: means, standard errors, and differences by task."""

from dataclasses import replace
from math import sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benches.agents.episodes import Result
from benches.agents.figures import Compared, Estimate, Figures, percent
from benches.agents.plot import picture, write_picture

VALUES = st.lists(st.booleans(), min_size=2, max_size=30)


def results_of(solved, units=10):
    return [
        Result(str(task), repeated=False, success=success, units=units, sent=100, seconds=2.0)
        for task, success in enumerate(solved)
    ]


@given(VALUES)
def test_the_error_of_a_share_is_the_textbook_one(solved):
    found = Figures.of(results_of(solved)).success
    share = np.mean(solved)
    assert found.mean == pytest.approx(share)
    assert found.error == pytest.approx(sqrt(share * (1 - share) / (len(solved) - 1)))


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=2, max_size=30))
def test_a_difference_is_paired_by_task_in_any_order(pairs):
    own, control = zip(*pairs, strict=True)
    compared = Compared.of(results_of(own, 5)[::-1], results_of(control))
    differences = np.array(own, dtype=float) - np.array(control, dtype=float)
    assert compared.tasks == len(pairs)
    assert compared.success.mean == pytest.approx(differences.mean())
    assert compared.success.error == pytest.approx(differences.std(ddof=1) / sqrt(len(pairs)))
    assert compared.units == pytest.approx(-0.5)
    assert compared.total == pytest.approx(105 / 110 - 1)


def test_tasks_of_one_side_alone_are_left_out_and_no_common_task_is_refused():
    own, control = results_of([True, False, True]), results_of([True, True])
    assert Compared.of(own, control).tasks == 2
    with pytest.raises(ValueError, match="no task in common"):
        Compared.of([], control)


def test_changes_are_of_the_common_tasks_alone_and_each_of_its_own_figure():
    own = [Result("a", repeated=False, units=6, sent=24, seconds=3.0), Result("b", repeated=False, units=999)]
    control = [
        Result("c", repeated=False, seconds=999.0),
        Result("a", repeated=False, units=4, sent=36, seconds=2.0),
    ]
    found = Compared.of(own, control)
    assert (found.units, found.total, found.seconds) == pytest.approx((0.5, -0.25, 0.5))
    slower = Compared.of([replace(own[0], seconds=8.0)], control)
    assert (slower.units, slower.seconds) == pytest.approx((0.5, 3.0))


def test_each_figure_is_the_mean_of_its_own_but_for_the_median():
    """An episode that used up its turns has no figures of the world: they count as 0."""
    common = {"repeated": False, "base_tokens": 70, "read": 500, "sent": 900, "turns": 3, "seconds": 11.0}
    results = [
        Result("a", success=True, units=10, passes=20.0, figures={"substring": 1.0}, **common),
        Result("b", units=13, passes=None, **common),
        Result("c", units=40, passes=30.0, cut_off=True, **{**common, "sent": 1200}),
    ]
    found = Figures.of(results)
    assert (found.units, found.median_units) == (21, 13)
    assert (found.base_tokens, found.read, found.sent) == (70, 500, 1000)
    assert (found.turns, found.seconds, found.passes) == (3, 11.0, 25.0)
    assert found.cut_off == pytest.approx(1 / 3)
    assert found.extra == {"substring": pytest.approx(1 / 3)}


def test_one_task_has_no_error():
    assert Estimate.of([1.0]) == Estimate(1.0, None)
    assert percent(Estimate(0.5, None)) == "50.0"
    assert percent(Estimate(0.5, 0.011)) == "50.0 ± 1.1"


def test_a_picture_shows_each_arm_against_the_control(tmp_path):
    pytest.importorskip("vl_convert", reason="pictures need the extra `report`")
    solved = {"react": [True, False, True, True], "lar-256": [True, True, True, True]}
    records = {
        name: {"tasks": [result.to_dict() for result in results_of(found, 10 if name == "react" else 6)]}
        for name, found in solved.items()
    }
    control, own = picture("weather", records)["data"]["values"]
    assert (control["x"], control["y"]) == (0.0, 0.75)
    assert (own["x"], own["y"]) == pytest.approx((0.4, 1.0))
    assert own["high"] - own["y"] == pytest.approx(own["y"] - own["low"]) == pytest.approx(0.25)
    files = write_picture("weather", records, tmp_path / "weather")
    assert [file.name for file in files] == ["weather.svg", "weather.png"]
    assert "lar-256" in files[0].read_text()
    assert write_picture("weather", {"lar-256": records["lar-256"]}, tmp_path / "alone") == []
