"""Sentences on standard output, folded between words where a terminal is known; no figure is cut."""

import os
import shutil
import sys
from textwrap import fill

import click


def print_prose(text: str, *, indent: str = "", hanging: int = 0) -> None:
    """Print each line of `text`, folded to the terminal's width; where there is none, a line stays whole.

    Lines begin with `indent`, and the folded parts of one with `hanging` more spaces, or with two where that
    is over a third of the terminal. COLUMNS counts as a terminal, as it does for tables. Commands to copy are
    no prose: print them whole.
    """
    if not sys.stdout.isatty() and "COLUMNS" not in os.environ:
        click.echo("\n".join(indent + line for line in text.splitlines()))
        return
    width = max(shutil.get_terminal_size().columns, 20)
    later = indent + " " * (hanging if width >= 3 * hanging else 2)
    for line in text.splitlines():
        click.echo(
            fill(
                line,
                width,
                initial_indent=indent,
                subsequent_indent=later,
                break_long_words=False,
                break_on_hyphens=False,
            )
        )
