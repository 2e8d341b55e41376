"""Help as wide as the terminal: click's own is never below 50 columns, and gives options most of them."""

import shutil
from collections.abc import Iterable

import click


class _Formatter(click.HelpFormatter):
    def write_dl(self, rows: Iterable[tuple[str, str]], col_max: int = 30, col_spacing: int = 2) -> None:
        """Write names and what they are; on a narrow terminal, long names have a line of their own."""
        super().write_dl(rows, min(col_max, max(self.width // 2 - 6, 12)), col_spacing)


class HelpContext(click.Context):
    """The context of a command whose help fits the terminal, from 32 to 80 columns."""

    def make_formatter(self) -> click.HelpFormatter:
        """The formatter of the help."""
        return _Formatter(width=max(min(shutil.get_terminal_size().columns, 80) - 2, 30))
