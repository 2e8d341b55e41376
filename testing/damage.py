"""Damaged files: a loader either loads one all the same, or says in one line why not."""

from hypothesis import strategies as st

from lar.errors import LarError

# Which bytes become what, and where the file ends, if not at its end.
FLIPS = st.lists(st.tuples(st.integers(0, 2**24), st.integers(0, 255)), min_size=1, max_size=4)


ENDS = st.none() | st.integers(0, 2**24)


def flip(content: bytes, flips: list[tuple[int, int]], end: int | None) -> bytes:
    """`content` with some bytes changed, and perhaps its end missing."""
    changed = bytearray(content)
    for place, value in flips:
        changed[place % len(content)] = value
    return bytes(changed if end is None else changed[: end % len(content)])


def loads_or_explains(load, *arguments):
    """What was loaded; None where an error of `lar` said in one line why not."""
    try:
        return load(*arguments)
    except LarError as error:
        message = str(error)
    assert message
    assert "\n" not in message
    return None
