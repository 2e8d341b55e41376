"""A look into a raw value finds what stands there, and raises nothing where the value has another form."""

import json

from hypothesis import given
from hypothesis import strategies as st

from lar.trajectories.raw import (
    as_list,
    dig,
    either,
    first_object,
    first_text,
    from_json_text,
    from_known_json,
    has,
    identifier,
    text_of,
    value_at,
)

_PLAIN = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
_KEYS = st.sampled_from(["a", "b", "file_data", "fileData"])
VALUES = st.recursive(
    _PLAIN, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner, max_size=3)
)


@given(VALUES)
def test_any_value_can_be_looked_into(value):
    assert dig(value, "a", "b") is None or has(dig(value, "a"), "b")
    assert either(value, "file_data") is None or has(value, "file_data") or has(value, "fileData")
    assert isinstance(first_object(value), dict)
    assert isinstance(as_list(value), list)
    assert value_at(value, "a.b.0", value) is value or has(value, "a")
    assert identifier(value) in (None, text_of(value))
    assert first_text([value, "last"]) == (value if isinstance(value, str) and value else "last")


@given(st.lists(VALUES, max_size=3) | st.dictionaries(_KEYS, VALUES, max_size=3))
def test_json_text_is_decoded_where_its_form_is_known(value):
    written = json.dumps(value)
    assert json.dumps(from_json_text(written)) == written
    assert json.dumps(from_known_json(written, lambda _: True)) == written
    assert from_known_json(written, lambda _: False) == written
    assert from_known_json(value, lambda _: False) is value
