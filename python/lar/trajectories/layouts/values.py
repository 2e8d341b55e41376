"""Values of tables that JSON has no type for, as JSON would have them: decimals, dates, times, durations."""

import re
from collections.abc import Iterator
from datetime import date, time, timedelta
from decimal import Decimal
from itertools import count
from typing import Any

import pyarrow as pa

_MOST_DIGITS = 76  # of Arrow's widest decimal; one of a program may stand for 10 to the power of a million
_PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
_BETWEEN = re.compile(r"(?<=\d) (?=\d)")  # a day and a time
_ODD = (Decimal, date, time, timedelta)  # a datetime is a date


def spelled(value: Any) -> Any:
    """A number for a decimal, the ISO text of a date or a time, seconds of a duration; else `value` itself.

    A whole decimal is an int, so that one that names a task is its name. NaN is None.

    >>> [spelled(value) for value in (Decimal("5.00"), Decimal("0.5"), date(2026, 1, 31), "a")]
    [5, 0.5, '2026-01-31', 'a']
    """
    if not isinstance(value, _ODD):
        return value
    if isinstance(value, Decimal):
        return _number(value)
    return value.total_seconds() if isinstance(value, timedelta) else value.isoformat()


def _number(value: Decimal) -> int | float | None:
    if value.is_nan():
        return None
    is_short = value.is_finite() and value.adjusted() < _MOST_DIGITS
    return int(value) if is_short and value == value.to_integral_value() else float(value)


def times(array: pa.Array) -> list[Any]:
    """The `spelled` dates, times or durations of an Arrow column, to the microsecond.

    Arrow gives nanoseconds as objects of pandas, and not without it.
    """
    kind = array.type
    if pa.types.is_duration(kind):
        counted, unit = array.view(pa.int64()).to_pylist(), _PER_SECOND[kind.unit]
        return [None if number is None else number / unit for number in counted]
    if kind == pa.time64("ns"):
        array = array.cast(pa.time64("us"), safe=False)
    elif pa.types.is_timestamp(kind) and kind.unit == "ns":
        array = array.cast(pa.timestamp("us", kind.tz), safe=False)
    try:
        return [spelled(value) for value in array.to_pylist()]
    # A time zone that this machine lacks (a KeyError of pytz), a year beyond 9999.
    except (ValueError, KeyError, OverflowError):
        return _texts(array)


def _texts(array: pa.Array) -> list[Any]:
    """The times as Arrow writes them, those with a zone in UTC."""
    kind = array.type
    zone = "Z" if pa.types.is_timestamp(kind) and kind.tz is not None else ""
    naive = array.view(pa.timestamp(kind.unit)) if zone else array
    return [text and _BETWEEN.sub("T", text) + zone for text in naive.cast(pa.string()).to_pylist()]


def distinct(names: list[str]) -> list[str]:
    """The names of columns, each once: further ones become "name.2", "name.3" and so on.

    `SELECT a.*, b.*` gives such columns. The first keeps its name, and what the others hold is not lost.

    >>> distinct(["id", "text", "id", "id.2", "id"])
    ['id', 'text', 'id.3', 'id.2', 'id.4']
    """
    taken, found = set(names), dict[str, None]()
    further: dict[str, Iterator[str]] = {}
    for name in names:
        own = name
        if name in found:
            others = further.setdefault(name, map(f"{name}.{{}}".format, count(2)))
            own = next(other for other in others if other not in taken)
        found[own] = None
    return list(found)
