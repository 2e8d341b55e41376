"""Read tables as text, `.csv` and `.tsv`: a record a row, with the names of the first line."""

import csv
import io
import re
import sys
from collections.abc import Iterator
from itertools import zip_longest
from typing import IO

from lar.trajectories.layouts.json_stream import BrokenRecordError, Record
from lar.trajectories.layouts.values import distinct

_NAMES = re.compile(r"\.(csv|tsv)(\.\w+)?$", re.IGNORECASE)


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


def _rows(text: io.TextIOWrapper, delimiter: str) -> Iterator[tuple[int, list[str] | BrokenRecordError]]:
    """Yield the line at which each row begins and its fields, or what is wrong with it."""
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


def _records(
    names: list[str], rows: Iterator[tuple[int, list[str] | BrokenRecordError]]
) -> Iterator[Record | BrokenRecordError]:
    least: int | None = None  # fields of a row
    is_torn = False
    for number, (line, row) in enumerate(rows, start=1):
        if isinstance(row, BrokenRecordError):
            is_torn = True
            yield BrokenRecordError(str(row), line, number)
        elif len(row) > len(names):
            yield BrokenRecordError("more fields than the first line names", line, number)
        elif is_torn and _may_be_rest(row, len(names) if least is None else least):
            yield BrokenRecordError("the rest of a broken row, by its fields or quotes", line, number)
        else:
            least, is_torn = len(row) if least is None else min(least, len(row)), False
            yield Record({name: value or None for name, value in zip_longest(names, row)}, number, line)


def _may_be_rest(row: list[str], least: int) -> bool:
    """Whether what follows a broken row is no row: a text of several lines may have been torn apart.

    It has fewer fields than all rows before (`least`), or a quote without a partner, which ended a field.
    """
    return len(row) < least or any(value.count('"') % 2 for value in row)
