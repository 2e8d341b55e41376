"""What every command shares: progress and log on standard error, `--json` on standard output."""

import json
import logging
import math
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import (
    BarColumn,
    ProgressColumn,
    Task,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as Bars
from rich.text import Text

from lar.trajectories.inputs.remote import is_url
from lar.utils.hub import download_advice
from lar.utils.paths import printable
from lar.utils.processes import is_main

PATH = click.Path(path_type=Path)
EXISTING_PATH = click.Path(exists=True, path_type=Path)
EXISTING_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
EXISTING_OR_PIPE = click.Path(exists=True, allow_dash=True, path_type=Path)


class _Logs(click.Path):
    """A path, or a URL as it is: as a path, `s3://bucket` would lose a slash. A pattern need not exist."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if is_url(value):
            return value
        return Path(value) if "*" in str(value) else super().convert(value, param, ctx)


class _TokenizerFolder(click.Path):
    """A tokenizer's folder; its tokenizer.json stands for it."""

    def convert(self, value: Any, param: Any, ctx: Any) -> Path:  # noqa: ARG002 (of click)
        """The folder."""
        from lar.tokenizer.location import tokenizer_folder  # here: the package takes long to import

        return tokenizer_folder(value)


class _ModelFolder(click.Path):
    """A model's folder, which exists; for a name on a hub, the error has the download."""

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        """The folder."""
        if not Path(value).exists() and (advice := download_advice(value)):
            self.fail(advice, param, ctx)
        return super().convert(value, param, ctx)


class _Share(click.FloatRange):
    """A share of a whole."""

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        """The share as a float."""
        try:
            share = float(super().convert(value, param, ctx))
        except click.BadParameter:
            share = math.nan
        if math.isnan(share):
            self.fail(f"{value!r} is no share: from 0 to less than 1, such as 0.2", param, ctx)
        return share


MODEL = _ModelFolder(exists=True, path_type=Path)
TOKENIZER = _TokenizerFolder(path_type=Path)
LOGS = _Logs(path_type=Path)
EXISTING_LOGS = _Logs(exists=True, allow_dash=True, path_type=Path)
NARROW = 72  # columns; below, a bar is only its figures
SHARE = _Share(0, 1, max_open=True)

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


class Bar:
    """A progress bar, with phases and a line about how the work goes; without `bars` nothing is shown.

    first: the work done that was reported first in this phase; None before.
    """

    def __init__(self, bars: Bars | None, label: str, unit: str) -> None:
        self._bars = bars
        self.phase(label, unit)

    def phase(self, label: str, unit: str) -> None:
        """Begin a phase of the work, with its own total and its own clock, in place of the one before."""
        self._unit = unit
        self.first: int | None = None
        if self._bars is not None:
            for task in self._bars.task_ids:
                self._bars.remove_task(task)
            self._task = self._bars.add_task(label, total=None, note="", amount="")

    def __call__(self, done: int, total: int | None) -> None:
        """Move the bar; see `Progress`."""
        self.first = done if self.first is None else self.first
        if self._bars is not None:
            of = "" if total is None else f"/{_short(total)}"
            amount = f"{_short(done)}{of} {self._unit}"
            self._bars.update(self._task, completed=done, total=total, amount=amount)

    def note(self, text: str) -> None:
        """Show `text` beside the bar."""
        if self._bars is not None:
            self._bars.update(self._task, note=text)


class _TimeLeft(TimeRemainingColumn):
    """The time left, empty where it is not known."""

    def render(self, task: Task) -> Text:
        """The text beside a bar."""
        text = super().render(task)
        return text.append(" left") if text.plain.strip("-:") else Text()


def _short(number: int) -> str:
    """A number in a few characters: 950, 9,500, 95k, 9.5M, 95G."""
    if number < 10_000:
        return f"{number:,}"
    value, unit = float(number), ""
    for unit in ("k", "M", "G", "T"):  # noqa: B007 (the last one is used)
        value /= 1000
        if value < 999.5:
            break
    return f"{value:.1f}{unit}" if value < 9.95 else f"{value:.0f}{unit}"


@contextmanager
def progress_bar(label: str, *, unit: str = "") -> Iterator[Bar]:
    """Yield the callback that moves a progress bar; the bar is shown on a terminal only."""
    if not (sys.stderr.isatty() and is_main() and logger.isEnabledFor(logging.CRITICAL)):
        yield Bar(None, label, unit)
        return
    with Bars(
        *_columns(console().width),
        console=console(),
        transient=True,
        speed_estimate_period=600,  # a step of a large model takes a minute: time left needs several
    ) as bars:
        yield Bar(bars, label, unit)


def _columns(width: int) -> list[ProgressColumn]:
    """The columns of a bar that fit a terminal: phase, share, amount, time and time left; a note if wide."""
    if width < NARROW:
        return [TextColumn("{task.description}"), TaskProgressColumn(), _TimeLeft()]
    return [
        TextColumn("{task.description}"),
        BarColumn(bar_width=20),
        TaskProgressColumn(),
        TextColumn("{task.fields[amount]}"),
        TimeElapsedColumn(),
        _TimeLeft(),
        TextColumn("{task.fields[note]}"),
    ]


def note(message: str) -> None:
    """Print one line about how the work goes to standard error, unless --quiet is given.

    Bytes of a path that are no UTF-8 are escapes in it.
    """
    if logger.isEnabledFor(logging.CRITICAL):
        click.echo(printable(message), err=True)


def print_json(value: dict[str, Any]) -> None:
    """Print `value` as one JSON object on standard output; bytes of a path that are no UTF-8 as escapes."""
    click.echo(printable(json.dumps(value, ensure_ascii=False, indent=2)))
