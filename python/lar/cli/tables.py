"""Tables on standard output: no figure and no heading is cut; on a narrow terminal, rows stand upright."""

import os
import sys
from textwrap import wrap
from typing import Any

import click
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from lar.cli.prose import print_prose

_TEXT = 20  # columns that a column of text needs at least; figures need all of theirs


def print_table(table: Table) -> None:
    """Print a table; where its figures do not fit the terminal, one line for each cell instead.

    A table that no terminal shows is as wide as it needs to be, with a row in each line. Texts are shown as
    they are, since many come from logs; a cell with markup is a `Text`.
    """
    console = Console(markup=False, emoji=False)
    if not sys.stdout.isatty() and "COLUMNS" not in os.environ:
        console = Console(width=_width(table, None), markup=False, emoji=False)
    if _width(table, _TEXT) > console.width:
        _print_upright(table, console.width)
        return
    for column in table.columns:
        column.no_wrap = column.justify != "left"
        column.overflow = "fold"
    console.print(table)


def _width(table: Table, text: int | None) -> int:
    """The columns of a terminal that the table takes, with text folded to so many; None: not folded."""
    border = 3 if table.box is not None else 2
    widths = [_column_width(column, text) for column in table.columns]
    return max(1 + sum(border + width for width in widths), cell_len(_plain(table.title or "")))


def _column_width(column: Any, text: int | None) -> int:
    width: int = max(cell_len(_plain(cell)) for cell in (column.header, *column.cells))
    if text is None or column.justify != "left":
        return width
    return min(width, max(text, cell_len(_plain(column.header))))


def _print_upright(table: Table, width: int) -> None:
    """Print each row as lines of a heading and a value, with an empty line between rows."""
    if table.title:
        print_prose(_plain(table.title))
    headings = [_plain(column.header) for column in table.columns]
    widest = max(map(cell_len, headings)) + 2
    newline = "\n" + " " * widest
    for row in zip(*(column.cells for column in table.columns), strict=True):
        for heading, column, cell in zip(headings, table.columns, row, strict=True):
            if value := _plain(cell):
                folded = _folded(value, width - widest, is_text=column.justify == "left")
                click.echo(f"{heading:<{widest}}{newline.join(folded)}".strip())
        click.echo()


def _folded(value: str, width: int, *, is_text: bool) -> list[str]:
    """A value in lines of `width`; text is cut inside words too long for a line, figures are not."""
    return wrap(value, max(width, 8), break_long_words=is_text, break_on_hyphens=False, drop_whitespace=False)


def _plain(cell: Any) -> str:
    return cell.plain if isinstance(cell, Text) else str(cell)
