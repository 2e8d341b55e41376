"""`lar import`: read agent logs of any known format and write one file of trajectories."""

from pathlib import Path
from typing import Any

import click
from rich.table import Table

from lar.cli.common import LOGS, PATH, json_option, logger, print_json, progress_bar
from lar.cli.fields import Fields, fields_options
from lar.cli.log_report import print_report, report_summary, warn_of
from lar.cli.next_step import after_import, print_next
from lar.cli.outputs import check_output, overwrite_option
from lar.cli.redaction import redact_options, redactor_of
from lar.cli.tables import print_table
from lar.errors import OptionError
from lar.trajectories import FORMATS, Report
from lar.trajectories.importing import Tally, import_logs
from lar.trajectories.inputs.files import find_sources
from lar.trajectories.inputs.remote import is_url
from lar.trajectories.tasks import one_task

_FILE = "file://"  # of a URL for the local disk
_WIDTH = max(map(len, FORMATS))
HELP = f"""Read agent logs and write them as one Parquet file of trajectories.

PATHS are files, folders, patterns in quotes, URLs of these (s3://, gs://, hf://, ...), or - for standard
input. Files may be compressed (.gz, .zst, .bz2, .xz) or zip archives of files. The format of each record is
recognized by its content, so formats may be mixed. Records that cannot be read are counted by file and
reason.

\b
Formats:
{chr(10).join(f"  {name:<{_WIDTH}} {known.title}" for name, known in FORMATS.items())}

\b
Examples:
  lar import logs/ -o trajectories.parquet
  lar import run1.jsonl.gz run2.jsonl.gz -o all.parquet --task-key metadata.issue
  lar import s3://bucket/logs/ 'old/**/*.jsonl' -o trajectories.parquet
  ssh host cat log.jsonl | lar import - -o trajectories.parquet
  lar import million.jsonl.gz --sample 3000 -o sample.parquet
  lar import results.json --format tau2 --strict -o tau2.parquet --json
  lar import own.jsonl --messages-key request.history --reply-key llm_output -o own.parquet
"""


@click.command("import", help=HELP)
@click.argument("paths", nargs=-1, required=True, type=LOGS)
@click.option(
    "-o", "--output", required=True, type=PATH, help="The file to write: .parquet, .jsonl or .jsonl.gz."
)
@overwrite_option
@click.option(
    "--format",
    "format_",
    default="auto",
    show_default=True,
    metavar="NAME",
    help="The format of all records; auto recognizes each by its content.",
)
@fields_options()
@click.option("--strict", is_flag=True, help="Stop at the first record that cannot be read.")
@redact_options
@click.option(
    "--workers",
    type=click.IntRange(min=1),
    help="The number of processes that read; the result does not depend on it.  [default: one for each core]",
)
@click.option(
    "--sample",
    type=click.IntRange(min=1),
    metavar="N",
    help="Write about N trajectories: all of some tasks, the same ones each time. All logs are read.  "
    "[default: all]",
)
@json_option
def command(
    paths: tuple[Path | str, ...],
    fields: Fields,
    output: Path,
    overwrite: bool,
    format_: str,
    strict: bool,
    redact: bool,
    phone_region: str,
    workers: int | None,
    sample: int | None,
    as_json: bool,
) -> None:
    """Import `paths` into `output` and print what there was."""
    if output.exists() and any(
        source.on_disk and output.samefile(source.path) for source in find_sources(_on_disk(paths))
    ):
        raise OptionError(f"{output}: is both an input and the output")
    check_output(output, None, overwrite=overwrite)
    report = Report()
    with progress_bar("import", unit="bytes") as progress:
        tally = import_logs(
            paths,
            output,
            format=format_,
            **fields._asdict(),
            strict=strict,
            redact=redactor_of(redact, phone_region),
            workers=workers,
            sample=sample,
            report=report,
            progress=progress,
        )
    summary = _summary(tally, output) | report_summary(report)
    if as_json:
        print_json(summary | {"agent_turns": tally.agent_turns})
    else:
        _print_table(summary)
        print_report(report, tally.trajectories, tally.agent_turns)
    warn_of(report)
    if fields.success_key is not None and not tally.success[True] and not tally.success[False]:
        hint = report.outcome_elsewhere or ""
        logger.warning("no record has an outcome at the success key %r%s", fields.success_key, hint)
    if fields.task_key is None and (warning := one_task(tally.tasks)):
        logger.warning("%s", warning)
    print_next(*after_import(output, tally.tasks), as_json=as_json)


def _on_disk(paths: tuple[Path | str, ...]) -> list[Path]:
    """The paths on the local disk, where the output lies: to list a bucket takes long."""
    return [
        Path(str(path).removeprefix(_FILE)) for path in paths if not is_url(path) or path.startswith(_FILE)
    ]


def _summary(tally: Tally, output: Path) -> dict[str, Any]:
    return {
        "output": str(output),
        "trajectories": tally.trajectories,
        **({} if tally.found == tally.trajectories else {"sampled_from": tally.found}),
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
    print_table(table)
