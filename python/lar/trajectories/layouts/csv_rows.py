"""Read tables as text, `.csv` and `.tsv`: a record a row, with the names of the first line."""

import csv
import io
import re
import sys
from collections.abc import Iterator
from itertools import zip_longest
from typing import IO

from lar.trajectories.layouts.json_stream import BrokenRecordError, Record

_NAMES = re.compile(r"\.(csv|tsv)(\.\w+)?$", re.IGNORECASE)


def is_csv(name: str) -> bool:
    """Whether a file's name is one of a table as text. Its content does not tell it from prose."""
    return _NAMES.search(name) is not None


def read_rows(stream: IO[bytes], name: str) -> Iterator[Record | BrokenRecordError]:
    """Yield each row as a record {column: text}, None where it is empty; `name` decides on commas or tabs.

    The line of a record is the one it begins at. A row with too many fields gives an error, and reading goes
    on.

    Raises:
        BrokenRecordError: from a row on, the file cannot be read.
    """
    csv.field_size_limit(
        min(sys.maxsize, 2**31 - 1)
    )  # a conversation is longer than the 131072 of the default
    found = _NAMES.search(name)
    delimiter = "\t" if found is not None and found[1].lower() == "tsv" else ","
    # A reader of `codecs` would also part lines at characters of a text, such as U+2028.
    text = io.TextIOWrapper(stream, "utf-8-sig", "surrogateescape", newline="")
    rows = csv.reader(text, delimiter=delimiter, strict=True)
    number = before = 0
    try:
        names = next(filter(None, rows), [])
        before = rows.line_num
        for row in rows:
            line, before = before + 1, rows.line_num
            if not row:
                continue
            number += 1
            if len(row) > len(names):
                yield BrokenRecordError("more fields than the first line names", line, number)
                continue
            yield Record({name: value or None for name, value in zip_longest(names, row)}, number, line)
    except csv.Error as error:
        raise BrokenRecordError(f"not a readable table: {error}", before + 1, number + 1) from None
    finally:
        text.detach()  # who has opened the stream closes it
