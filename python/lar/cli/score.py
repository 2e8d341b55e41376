"""`lar score`: store a teacher's entropies beside a corpus."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
from rich.table import Table

from lar.cli.cluster import cluster_at, ray_option
from lar.cli.common import EXISTING_PATH, json_option, print_json, progress_bar
from lar.cli.prose import print_prose
from lar.cli.tables import print_table
from lar.cli.training import device_options, needs_train_extra, teacher_option


@click.command("score")
@click.argument("corpus", type=EXISTING_PATH)
@teacher_option
@click.option(
    "--batch-tokens",
    type=click.IntRange(1),
    help="The number of tokens in a batch, padding included.  [default: 4096 on a CPU, 32768 on a GPU]",
)
@click.option(
    "--max-length",
    type=click.IntRange(8),
    help="The number of tokens that the teacher reads at a time.  [default: the model's context]",
)
@click.option(
    "--top-k",
    type=click.IntRange(1),
    help="Also store this many of the likeliest tokens at each position, for distill --cached-teacher.",
)
@click.option(
    "--most-tokens",
    type=click.IntRange(1),
    help="Score only a sample of about so many tokens, of whole tasks. lar mine --max-entropy then finds and "
    "judges segments in the sample, and counts them in all logs.  [default: all tasks]",
)
@click.option("--overwrite", is_flag=True, help="Replace the scores of another teacher.")
@device_options
@ray_option
@json_option
def command(corpus: Path, model: Path, ray_address: str | None, as_json: bool, **options: Any) -> None:
    """Store the teacher's entropy before each of the agent's tokens in CORPUS.

    A run that was stopped goes on when you start it again. The table that is printed shows how the agent's
    entropies are distributed: choose the entropy gate of lar mine --max-entropy from it. Tasks that CORPUS
    holds out are scored, but are not in the table.

    \b
    Examples:
      lar score corpus/ --model Qwen3-8B/
      lar score corpus/ --model Qwen3-8B/ --most-tokens 5000000
      lar score corpus/ --model Qwen3-8B/ --top-k 64 --max-length 8192
    """
    needs_train_extra()
    from lar.cli.next_step import after_score, print_next
    from lar.corpus import Corpus
    from lar.scoring.distribution import entropy_quantiles
    from lar.scoring.score import score

    with cluster_at(ray_address) as cluster, progress_bar("scoring", unit="tokens") as progress:
        scored = score(Corpus.load(corpus), str(model), backend=cluster, progress=progress, **options)
        summary = entropy_quantiles(scored.training, cluster)
    training = scored.training
    summary |= {"tasks": len(training.scored.tasks), "tasks_in_all": len(training.tasks)}
    if as_json:
        print_json({"corpus": str(corpus), "teacher": scored.teacher and asdict(scored.teacher), **summary})
    else:
        _print(summary)
    print_next(*after_score(scored), as_json=as_json)


def _print(summary: dict[str, Any]) -> None:
    table = Table(title="Entropy of the agent's tokens, nats", title_justify="left")
    for name in ("quantile", "nats", "gate (nats)", "tokens at or under it"):
        table.add_column(name, justify="right")
    quantiles, gates = list(summary["quantiles"].items()), list(summary["at_or_under"].items())
    for index, (share, nats) in enumerate(quantiles):
        gate = (gates[index][0], f"{gates[index][1]:.1%}") if index < len(gates) else ("", "")
        table.add_row(f"p{float(share) * 100:g}", f"{nats:.4g}", *gate)
    print_table(table)
    of_all = f" of a sample of {summary['tasks']:,} of {summary['tasks_in_all']:,} tasks"
    sample = "" if summary["tasks"] == summary["tasks_in_all"] else of_all
    print_prose(f"{summary['tokens']:,} of the agent's tokens{sample}, {summary['mean']:.3f} nats on average")
