"""Numbers as words: 1 is singular, no time is longer than the hours it is made of, and 0 has no sign."""

from hypothesis import example, given
from hypothesis import strategies as st

from lar.utils.words import about_hours, counted, percent, signed_percent


@given(st.integers(0, 10**9))
@example(1)
def test_only_one_is_singular(number):
    assert (counted(number, "field") == "1 field") is (number == 1)
    assert counted(number, "field").replace(",", "").startswith(f"{number} field")


@given(st.floats(0, 1e4))
@example(0.9999)
@example(1.0)
def test_a_time_is_in_hours_or_in_fewer_than_sixty_minutes(hours):
    text = about_hours(hours)
    assert not text.startswith(("about 0", "about 60 minutes"))
    assert not text.endswith("about 1 minutes")


@given(st.floats(-2, 2))
@example(-0.0)
@example(-0.0003)
@example(0.0003)
@example(-0.0005)
def test_a_percentage_has_the_sign_of_what_is_shown(share):
    text = percent(share)
    shown = float(text.removesuffix("%"))
    assert abs(shown - 100 * share) < 0.051
    assert text.startswith("-") == (shown < 0)
    signed = signed_percent(share)
    assert float(signed.removesuffix("%")) == shown
    assert signed[0] in "+-" if shown else signed == "0.0%"
