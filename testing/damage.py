"""Damaged files: a loader loads one all the same, or raises an error of one line."""

from hypothesis import strategies as st

from lar.errors import LarError

# Places and new values of bytes, and the place where the file is cut (None: not cut).
FLIPS = st.lists(st.tuples(st.integers(0, 2**24), st.integers(0, 255)), min_size=1, max_size=4)
ENDS = st.none() | st.integers(0, 2**24)


def flip(content: bytes, flips: list[tuple[int, int]], end: int | None) -> bytes:
    """`content` with some bytes changed, and cut at `end` unless that is None."""
    changed = bytearray(content)
    for place, value in flips:
        changed[place % len(content)] = value
    return bytes(changed if end is None else changed[: end % len(content)])


def loads_or_explains(load, *arguments):
    """The result of `load`; None where it raises an error of `lar` of one line."""
    try:
        return load(*arguments)
    except LarError as error:
        message = str(error)
    assert message
    assert "\n" not in message
    return None
