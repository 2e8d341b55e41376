"""Sizes in bytes as a person writes them."""

# Not pydantic's ByteSize: it ignores what it cannot read, so "2,5GiB" is two bytes. The last release of
# humanfriendly is of 2021.

import re

from lar.errors import OptionError

_UNITS = {"": 1, "B": 1}
for _power, _letter in enumerate("KMGT", start=1):
    _UNITS |= {f"{_letter}B": 1000**_power, f"{_letter}IB": 1024**_power}


def parse_size(text: str) -> int:
    """The number of bytes that `text` stands for: 2GiB, 500MB, 1000000.

    Raises:
        OptionError: it is no size.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?) *([A-Za-z]*)", text)
    size = int(float(match[1]) * _UNITS.get(match[2].upper(), 0)) if match else 0
    if size < 1:
        raise OptionError(f"{text!r} is no size; write 2GiB, 500MB or a number of bytes")
    return size
