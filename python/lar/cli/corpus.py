"""`lar corpus`: tokenize trajectories and mask the agent's tokens."""

import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from lar.cli.cluster import cluster_at, ray_option
from lar.cli.common import LOGS, PATH, SHARE, TOKENIZER, json_option, logger, print_json, progress_bar
from lar.cli.fields import Fields, fields_options
from lar.cli.prose import print_prose
from lar.cli.redaction import redact_options, redactor_of
from lar.errors import OptionError

FEW_TASKS = 20  # held-out tasks; figures from fewer are uncertain


@click.command("corpus")
@click.argument("trajectories", nargs=-1, required=True, type=LOGS)
@click.option(
    "--tokenizer", required=True, type=TOKENIZER, help="The model's folder, which holds tokenizer.json."
)
@click.option("-o", "--output", required=True, type=PATH, help="The corpus folder to write.")
@fields_options()
@click.option(
    "--workers",
    type=click.IntRange(min=1),
    help="The number of chunks to encode at a time.  [default: one for each core, at most 8]",
)
@click.option(
    "--only-succeeded",
    is_flag=True,
    help="Take only the runs that are known to have succeeded; the others are counted. Without this, failed "
    "runs are mined and learnt from, too.",
)
@click.option(
    "--skip-refused",
    is_flag=True,
    help="Leave out and count the trajectories that the chat template refuses; without this, stop.",
)
@click.option(
    "--strict",
    is_flag=True,
    help="Stop at the first record that cannot be read, and at the first text of the agent that the chat "
    "template leaves out; without this, both are counted.",
)
@click.option(
    "--hold-out",
    type=SHARE,
    help="The share of the tasks that all later commands hold out, to measure on them; 0 for none. Another "
    "share replaces the split of a finished corpus without tokenizing again.  [default: none, or what the "
    "corpus has]",
)
@click.option(
    "--split-seed",
    type=int,
    help="The seed of --hold-out: another seed holds out other tasks.  [default: 0]",
)
@redact_options
@ray_option
@json_option
def command(
    trajectories: tuple[Path | str, ...],
    fields: Fields,
    tokenizer: Path,
    output: Path,
    workers: int | None,
    only_succeeded: bool,
    skip_refused: bool,
    strict: bool,
    redact: bool,
    phone_region: str,
    hold_out: float | None,
    split_seed: int | None,
    ray_address: str | None,
    as_json: bool,
) -> None:
    """Render TRAJECTORIES with the model's chat template and store tokens, the agent's mask and tasks.

    A run that was stopped goes on when you start it again. A folder that holds another corpus is refused.
    With --redact, that is also your own stopped run if an id or a task holds a private value, since its
    digest is a new one in each run: to be able to go on, write redacted logs with lar import first.

    \b
    Examples:
      lar corpus logs/ --tokenizer Qwen3-8B/ --hold-out 0.2 -o corpus/
      lar corpus logs/ --tokenizer Qwen3-8B/ --only-succeeded -o corpus/
    """
    if ray_address is not None and workers is not None:
        raise OptionError("--workers is for one machine: it does not go with --ray")
    if split_seed is not None and hold_out is None:
        raise OptionError("--split-seed needs --hold-out")
    from lar.cli.log_report import bad_records_summary, losses_summary, print_losses, warn_of
    from lar.cli.next_step import after_corpus, print_next
    from lar.cli.reading import ReadingBar
    from lar.corpus import Corpus
    from lar.trajectories import Report, read_trajectories

    began = time.perf_counter()
    report = Report()
    with cluster_at(ray_address) as cluster, progress_bar("corpus") as bar:
        reading = ReadingBar(bar, trajectories, report)
        corpus = Corpus.build(
            read_trajectories(
                trajectories,
                **fields._asdict(),
                strict=strict,
                redact=redactor_of(redact, phone_region),
                report=report,
                progress=reading.read,
            ),
            tokenizer,
            output,
            workers=workers,
            backend=cluster,
            only_succeeded=only_succeeded,
            skip_refused=skip_refused,
            strict=strict,
            hold_out=hold_out,
            split_seed=split_seed or 0,
            progress=reading.built,
        )
    summary = _summary(corpus, bad_records_summary(report.problems), time.perf_counter() - began)
    warn_of(report)
    if as_json:
        print_json(summary | losses_summary(report))
    else:
        _print(summary)
        print_losses(report)
    _warn_of_few_held_out(summary)
    _warn_of_switch(corpus)
    print_next(*after_corpus(corpus, tokenizer), as_json=as_json)


def _summary(corpus: Any, bad_records: dict[str, Any], seconds: float) -> dict[str, Any]:
    return {
        "corpus": str(corpus.path),
        "tokens": corpus.num_tokens,
        "action_tokens": corpus.num_action_tokens,
        "tasks": len(corpus.tasks),
        "held_out_tasks": len(corpus.held_out.tasks) if corpus.held_out else 0,
        "split": corpus.own_split and asdict(corpus.own_split),
        "trajectories": corpus.num_trajectories,
        "rows": len(corpus),
        "shards": len(corpus.manifest.parts),
        "without_agent": sum(part.without_action for part in corpus.manifest.parts),
        "only_succeeded": corpus.manifest.only_succeeded,
        "failed_left_out": corpus.manifest.failed_left_out,
        "unknown_left_out": corpus.manifest.unknown_left_out,
        "left_out": corpus.manifest.left_out,
        "unwritten": asdict(corpus.manifest.unwritten),
        "unprompted_turns": corpus.manifest.unprompted,
        **bad_records,
        "seconds": round(seconds, 2),
    }


def _print(summary: dict[str, Any]) -> None:
    names = ["tokens", "action_tokens", "tasks", "held_out_tasks", "trajectories", "shards"]
    if summary["rows"] > summary["trajectories"]:
        names.insert(names.index("shards"), "rows")
    if summary["only_succeeded"]:
        names += ["failed_left_out", "unknown_left_out"]
    width = max(map(len, names))
    for name in names:
        click.echo(f"{name.replace('_', ' '):<{width}}{summary[name]:>14,}")
    click.echo(f"{'seconds':<{width}}{summary['seconds']:>14,.1f}")
    if summary["rows"] > summary["trajectories"]:
        print_prose(
            "The chat template writes turns otherwise when a conversation goes on, mostly without their"
            " reasoning. So a trajectory is several rows: each turn is learnt in the row that has it as the"
            " agent wrote it, and the text before it is read again (docs/training.md)."
        )


def _warn_of_few_held_out(summary: dict[str, Any]) -> None:
    held_out, tasks = summary["held_out_tasks"], summary["tasks"]
    if 0 < held_out < FEW_TASKS:
        logger.warning(
            "%d of %d tasks are held out: figures from so few are uncertain; a larger --hold-out helps, and "
            "another --split-seed may",
            *(held_out, tasks),
        )


def _warn_of_switch(corpus: Any) -> None:
    """Warn where requests may have switched reasoning off, so that their prompts are others."""
    from lar.tokenizer.generation_prompt import THINKING_SWITCH, has_thinking_switch

    if corpus.manifest.unwritten.reasoning == 0 and has_thinking_switch(corpus.tokenizer):
        logger.warning(
            "no turn reasons, and the chat template has a switch, %s: the corpus has the prompts of its "
            "default; if your requests switch reasoning off, see docs/training.md (What a prompt ends with)",
            THINKING_SWITCH,
        )
