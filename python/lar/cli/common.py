"""What every command shares: progress and log on standard error, `--json` on standard output."""

import json
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

from lar.trajectories.inputs.remote import is_url
from lar.utils.processes import is_main
from lar.utils.progress import Progress, silent

PATH = click.Path(path_type=Path)
EXISTING_PATH = click.Path(exists=True, path_type=Path)


class _Logs(click.Path):
    """A path, or a URL as it is: as a path, `s3://bucket` would lose a slash."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return value if is_url(value) else super().convert(value, param, ctx)


LOGS = _Logs(path_type=Path)
SHARE = click.FloatRange(0, 1, max_open=True)

json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print the result as one JSON object instead of a table."
)


# What the commands themselves log; the library's modules have loggers of their own below `lar`.
logger = logging.getLogger("lar.cli")


@cache
def console() -> Console:
    """The console on standard error, shared by bars and log; standard output carries results only.

    Lines that nobody watches on a terminal are not wrapped: they go to files and to other programs.
    """
    return Console(stderr=True, soft_wrap=not sys.stderr.isatty())


class _Bar:
    """A bar's callback, with room for a line about how the work goes."""

    def __init__(self, bars: Bars, label: str) -> None:
        self._bars = bars
        self._task = bars.add_task(label, total=None, note="")

    def __call__(self, done: int, total: int | None) -> None:
        self._bars.update(self._task, completed=done, total=total)

    def note(self, text: str) -> None:
        self._bars.update(self._task, note=text)


@contextmanager
def progress_bar(label: str, *, unit: str = "") -> Iterator[Progress]:
    """Yield the callback that moves a progress bar; the bar is shown on a terminal only."""
    if not (sys.stderr.isatty() and is_main() and logger.isEnabledFor(logging.CRITICAL)):
        yield silent
        return
    columns = (
        TextColumn(label),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(unit),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Bars(
        *columns,
        console=console(),
        transient=True,
        speed_estimate_period=600,  # a step of a large model takes a minute: time left needs several
    ) as bars:
        yield _Bar(bars, label)


def note(message: str) -> None:
    """Print one line about how the work goes to standard error, unless --quiet is given."""
    if logger.isEnabledFor(logging.CRITICAL):
        click.echo(message, err=True)


def print_json(value: dict[str, Any]) -> None:
    """Print `value` as one JSON object on standard output."""
    click.echo(json.dumps(value, ensure_ascii=False, indent=2))
