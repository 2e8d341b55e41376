"""JSON lines are decoded fast, and to the same values as by the standard library."""

import json

from hypothesis import given
from hypothesis import strategies as st

from lar.trajectories.layouts.json_stream import decode_line

JSON_PIECES = [
    *'{}[]":,\\u.e- \t',
    "d83d",
    "de00",
    "NaN",
    "Infinity",
    "null",
    "true",
    '"a"',
    '"a":1',
    "é",
    "🙂",
]


def decoded(decode, line):
    try:
        return repr(decode(line))
    except (ValueError, RecursionError) as error:
        return type(error)


@given(
    st.one_of(
        st.lists(st.sampled_from(JSON_PIECES), max_size=9).map("".join).map(str.encode),
        st.recursive(
            st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text()),
            lambda inner: st.one_of(st.lists(inner), st.dictionaries(st.text(), inner)),
        ).map(lambda value: json.dumps(value).encode()),
        st.binary(max_size=12),
        st.floats().map(lambda number: f"{number:.25e}".encode()),
        st.integers(-(10**40), 10**40).map(lambda number: str(number).encode()),
    )
)
def test_lines_are_decoded_as_the_standard_library_does(line):
    expected = decoded(lambda text: json.loads(text.strip().decode("utf-8-sig", "surrogateescape")), line)
    assert decoded(decode_line, line) == expected
