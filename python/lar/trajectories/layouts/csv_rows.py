"""Read tables as text, `.csv` and `.tsv`: a record a row, with the names of the first line."""

import csv
import io
import re
import sys
from collections import deque
from collections.abc import Iterable, Iterator
from itertools import islice, zip_longest
from typing import IO

from lar.trajectories.layouts.record import BrokenRecordError, Record
from lar.trajectories.layouts.values import distinct

_NAMES = re.compile(r"\.(csv|tsv)(\.\w+)?$", re.IGNORECASE)
_MOST_OF_REST = 100  # rows behind a malformed one in which the end of its field is looked for

_Row = tuple[int, list[str] | BrokenRecordError]
"""The line at which a row begins, and its fields or what is wrong with it."""


def is_csv(name: str) -> bool:
    """Whether a file's name is one of a table as text. Its content does not tell it from prose."""
    return _NAMES.search(name) is not None


def read_rows(stream: IO[bytes], name: str) -> Iterator[Record | BrokenRecordError]:
    """Yield each row as a record {column: text}, None where it is empty; `name` decides on commas or tabs.

    Of several columns with one name the first keeps it: see `distinct`. The line of a record is the one it
    begins at. A row that is malformed, or has too many fields, gives an error, and reading goes on.

    Raises:
        BrokenRecordError: the first line, which names the columns, cannot be read.
    """
    csv.field_size_limit(
        min(sys.maxsize, 2**31 - 1)
    )  # a conversation is longer than the 131072 of the default
    found = _NAMES.search(name)
    delimiter = "\t" if found is not None and found[1].lower() == "tsv" else ","
    # A reader of `codecs` would also part lines at characters of a text, such as U+2028.
    text = io.TextIOWrapper(stream, "utf-8-sig", "surrogateescape", newline="")
    try:
        rows = _rows(text, delimiter)
        _, names = next(rows, (1, []))
        if isinstance(names, BrokenRecordError):
            raise names
        yield from _records(distinct(names), rows)
    finally:
        text.detach()  # who has opened the stream closes it


def _rows(text: io.TextIOWrapper, delimiter: str) -> Iterator[_Row]:
    rows = csv.reader(text, delimiter=delimiter, strict=True)
    while True:
        line = rows.line_num + 1
        try:
            row = next(rows)
        except StopIteration:
            return
        except csv.Error as error:  # the reader goes on with the next line
            end = rows.line_num
            unread = f"; lines {line} to {end} are not read" if end > line else ""
            yield line, BrokenRecordError(f"not a readable table: {error}{unread}", line, 1)
        else:
            if row:
                yield line, row


def _records(names: list[str], rows: Iterator[_Row]) -> Iterator[Record | BrokenRecordError]:
    for number, (line, row) in enumerate(_without_rests(rows), start=1):
        if isinstance(row, BrokenRecordError):
            yield BrokenRecordError(str(row), line, number)
        elif len(row) > len(names):
            yield BrokenRecordError("more fields than the first line names", line, number)
        else:
            yield Record({name: value or None for name, value in zip_longest(names, row)}, number, line)


def _without_rests(rows: Iterator[_Row]) -> Iterator[_Row]:
    """Yield the rows; what may be the rest of a malformed one becomes an error.

    The rest of a field of several lines may look like rows, whose text nobody has written as a record.
    """
    waiting: deque[_Row] = deque()
    rest = 0  # how many of those that wait belong to the malformed row
    while waiting := waiting or deque(islice(rows, 1)):
        line, row = waiting.popleft()
        if isinstance(row, BrokenRecordError):
            waiting.extend(islice(rows, _MOST_OF_REST - len(waiting)))
            rest = max(rest - 1, _length_of_rest(waiting))
            yield line, row
        else:
            yield line, BrokenRecordError("the rest of a broken row, by its quotes", line, 1) if rest else row
            rest = max(rest - 1, 0)


def _length_of_rest(rows: Iterable[_Row]) -> int:
    """How many rows there are up to one with a field that ends in a quote without a partner; else 0."""
    for count, (_, row) in enumerate(rows, start=1):
        if isinstance(row, list) and any(value.endswith('"') and value.count('"') % 2 for value in row):
            return count
    return 0
