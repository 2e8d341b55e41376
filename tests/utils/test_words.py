"""Numbers with their nouns: 1 is singular, and no time is longer than the hours it is made of."""

from hypothesis import example, given
from hypothesis import strategies as st

from lar.utils.words import about_hours, counted


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
