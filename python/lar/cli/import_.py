"""`lar import`: read agent logs of any known format and write one file of trajectories."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from lar.cli.common import LOGS, PATH, json_option, logger, print_json, progress_bar
from lar.cli.log_report import print_report, report_summary, warn_of
from lar.errors import OptionError
from lar.trajectories import FORMATS, Report, Trajectory, read_trajectories, write_trajectories
from lar.trajectories.tasks import one_task

HELP = f"""Read agent logs and write them as one Parquet file of trajectories.

PATHS are files or folders, plain or compressed (.gz, .zst), or URLs (s3://, gs://, hf://, ...). The format
of each record is recognized by its content, so formats may be mixed. A record that cannot be read is counted
and named with its file and line.

\b
Formats:
{chr(10).join(f"  {name:<15} {known.title}" for name, known in FORMATS.items())}

\b
Examples:
  lar import logs/ -o trajectories.parquet
  lar import run1.jsonl.gz run2.jsonl.gz -o all.parquet --task-key metadata.issue
  lar import s3://bucket/logs/ -o trajectories.parquet
  lar import results.json --format tau2 --strict -o tau2.parquet --json
"""


@dataclass(slots=True)
class _Tally:
    """What went by on the way to the file."""

    trajectories: int = 0
    messages: int = 0
    tasks: Counter[str] = field(default_factory=Counter)
    success: Counter[bool | None] = field(default_factory=Counter)

    def watch(self, trajectories: Iterable[Trajectory]) -> Iterator[Trajectory]:
        for trajectory in trajectories:
            self.trajectories += 1
            self.messages += len(trajectory.messages)
            self.tasks[trajectory.task] += 1
            self.success[trajectory.success] += 1
            yield trajectory


@click.command("import", help=HELP)
@click.argument("paths", nargs=-1, required=True, type=LOGS)
@click.option(
    "-o", "--output", required=True, type=PATH, help="The file to write: .parquet, .jsonl or .jsonl.gz."
)
@click.option(
    "--format",
    "format_",
    default="auto",
    show_default=True,
    type=click.Choice(["auto", *FORMATS]),
    metavar="NAME",
    help="The format of all records; auto recognizes each by its content.",
)
@click.option(
    "--task-key",
    metavar="FIELD",
    help="The dotted path of the field that names a record's task, such as metadata.issue.",
)
@click.option("--strict", is_flag=True, help="Stop at the first record that cannot be read.")
@json_option
def command(
    paths: tuple[Path | str, ...],
    output: Path,
    format_: str,
    task_key: str | None,
    strict: bool,
    as_json: bool,
) -> None:
    """Import `paths` into `output` and print what there was."""
    if any(
        isinstance(path, Path) and path.is_file() and output.exists() and path.samefile(output)
        for path in paths
    ):
        raise OptionError(f"{output}: is both an input and the output")
    tally, report = _Tally(), Report()
    with progress_bar("import", unit="bytes") as progress:
        trajectories = read_trajectories(
            paths, format=format_, task_key=task_key, strict=strict, report=report, progress=progress
        )
        write_trajectories(tally.watch(trajectories), output)
    summary = _summary(tally, output) | report_summary(report)
    if as_json:
        print_json(summary)
    else:
        _print_table(summary)
        print_report(report)
    warn_of(report)
    if task_key is None and (warning := one_task(tally.tasks)):
        logger.warning("%s", warning)


def _summary(tally: _Tally, output: Path) -> dict[str, Any]:
    return {
        "output": str(output),
        "trajectories": tally.trajectories,
        "tasks": len(tally.tasks),
        "messages": tally.messages,
        "succeeded": tally.success[True],
        "failed": tally.success[False],
        "unknown": tally.success[None],
    }


def _print_table(summary: dict[str, Any]) -> None:
    table = Table(show_header=False, box=None)
    for name, value in summary.items():
        if isinstance(value, int | str):
            table.add_row(name.replace("_", " "), str(value))
    Console().print(table)
