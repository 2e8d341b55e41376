"""`lar evaluate`: what a vocabulary saves on tasks that it has not seen."""

from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from lar.cli.common import EXISTING_PATH, json_option, note, print_json, progress_bar


@click.command("evaluate")
@click.argument("vocabulary", type=EXISTING_PATH)
@click.argument("inputs", nargs=-1, required=True, type=EXISTING_PATH)
@json_option
def command(vocabulary: Path, inputs: tuple[Path, ...], as_json: bool) -> None:
    r"""Count units against base tokens on the tasks in INPUTS that the vocabulary was not mined on.

    INPUTS are trajectory files of any known format, or corpus folders. Needs no model: the vocabulary's
    folder holds its tokenizer.

    \b
    Example:
      lar evaluate vocabulary/ logs/held-out.jsonl.gz --json
    """
    from lar.cli.inputs import open_corpora
    from lar.evaluation import evaluate
    from lar.vocabulary import LatentVocabulary

    loaded = LatentVocabulary.load(vocabulary)
    corpora = open_corpora(inputs, loaded.tokenizer)
    with progress_bar("evaluating", unit="tokens") as progress:
        result = evaluate(loaded, corpora, progress=progress)
    if result.in_sample:
        note("every task was seen in mining: these figures say nothing about new ones (mine with --hold-out)")
    if as_json:
        print_json(result.as_dict())
    else:
        _print(result, loaded.size)


def _print(result: Any, size: int) -> None:
    table = Table()
    for name in ("corpus", "trajectories", "base tokens", "units", "reduction", "context reduction"):
        table.add_column(name, justify="left" if name == "corpus" else "right")
    rows = [*result.per_corpus.items(), ("all", result.total)]
    for name, counts in rows if len(result.per_corpus) > 1 else rows[:1]:
        table.add_row(
            name,
            f"{counts.trajectories:,}",
            f"{counts.base_tokens:,}",
            f"{counts.units:,}",
            f"{counts.reduction:.1%}",
            f"{counts.context_reduction:.1%}",
        )
    Console().print(table)
    seen = "" if result.in_sample else f" not seen in mining ({result.seen_tasks} others left out)"
    click.echo(
        f"{result.tasks} tasks{seen}; {result.latents_used} of {size} latents used; "
        f"lossless: {'yes' if result.lossless else 'NO'}"
    )
