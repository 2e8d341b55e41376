"""`lar mine`: mine a latent vocabulary from a corpus or from trajectories."""

import time
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from lar.cli.cluster import cluster_at, ray_option
from lar.cli.common import EXISTING_PATH, PATH, json_option, logger, print_json, progress_bar
from lar.cli.inputs import check_for_cluster, hold_out_options, open_corpus, training_side
from lar.cli.size import parse_size
from lar.errors import OptionError
from lar.mining.options import MiningOptions
from lar.utils.files import check_replaceable
from lar.vocabulary.storage import FILE_NAME

_DEFAULTS = MiningOptions()


@click.command("mine")
@click.argument("inputs", nargs=-1, required=True, type=EXISTING_PATH)
@click.option(
    "--tokenizer", type=EXISTING_PATH, help="The model's folder; needed if INPUTS are trajectories."
)
@click.option("-o", "--output", required=True, type=PATH, help="The vocabulary folder to write.")
@click.option("--size", default=_DEFAULTS.size, show_default=True, help="The largest number of latents.")
@click.option(
    "--min-support",
    default=_DEFAULTS.min_support,
    show_default=True,
    help="The smallest number of distinct tasks in which a segment must occur.",
)
@click.option(
    "--min-count",
    default=_DEFAULTS.min_count,
    show_default=True,
    help="The smallest number of times that a segment must occur.",
)
@click.option(
    "--max-length",
    default=_DEFAULTS.max_length,
    show_default=True,
    help="The largest number of base tokens in a segment.",
)
@click.option(
    "--max-entropy",
    metavar="NATS|pN",
    help="The entropy gate: a token may continue a segment only if the teacher's next-token entropy is at "
    "most this, in nats (0.25) or as a quantile of the corpus's own entropies (p60).  [default: no gate]",
)
@click.option(
    "--gates",
    metavar="engines|none|NAMES",
    default=_DEFAULTS.gates,
    show_default=True,
    help="The engine gates that every segment must pass: all, none, or a list of names with commas.",
)
@click.option(
    "--min-kept",
    default=_DEFAULTS.min_kept,
    show_default=True,
    help="For the engine gate served: the least share of a latent's saving in tokens that must be left in "
    "the text that engines read.",
)
@click.option(
    "--memory",
    metavar="SIZE",
    help="About how much memory to use for folding the corpus, such as 2GiB; the rest is spilled to a file "
    "in TMPDIR.  [default: no limit]",
)
@ray_option
@hold_out_options
@json_option
def command(
    inputs: tuple[Path, ...],
    tokenizer: Path | None,
    output: Path,
    memory: str | None,
    ray_address: str | None,
    hold_out: float,
    split_seed: int,
    as_json: bool,
    **options: Any,
) -> None:
    """Mine a latent vocabulary from a corpus folder or from trajectory files of any known format.

    \b
    Examples:
      lar mine corpus/ --size 1024 --max-entropy p60 -o vocabulary/
      lar mine logs/*.jsonl.gz --tokenizer Qwen3-8B/ --size 256 -o vocabulary/
      lar mine corpus/ --size 4096 -o vocabulary/ --memory 4GiB
      lar mine /shared/corpus/ --size 4096 -o vocabulary/ --ray head:6379
    """
    from lar.mining.mine import mine
    from lar.mining.one_machine import OneMachine

    MiningOptions(**options)  # what is wrong must not wait for the corpus
    check_replaceable(output, FILE_NAME)
    here = OneMachine(None if memory is None else parse_size(memory))
    if ray_address is not None:
        if memory is not None:
            raise OptionError("--memory is for one machine: it does not go with --ray")
        check_for_cluster(inputs)
    began = time.perf_counter()
    corpus = training_side(open_corpus(inputs, tokenizer), hold_out, split_seed)
    with cluster_at(ray_address) as cluster, progress_bar("mining", unit="tokens") as progress:
        vocabulary = mine(corpus, backend=cluster or here, progress=progress, **options)
    if vocabulary.size < options["size"]:
        logger.warning(
            "%d latents: no further segment is frequent enough, of use and fit for engines", vocabulary.size
        )
    vocabulary.save(output)
    summary = _summary(vocabulary, output, time.perf_counter() - began)
    if as_json:
        print_json(summary)
    else:
        _print(vocabulary, summary)


def _summary(vocabulary: Any, output: Path, seconds: float) -> dict[str, Any]:
    saved = sum(latent.saving for latent in vocabulary.latents)
    base_tokens = vocabulary.mining["action_tokens"]
    return {
        "vocabulary": str(output),
        "latents": vocabulary.size,
        "base_size": vocabulary.base_size,
        "base_tokens": base_tokens,
        "units": base_tokens - saved,
        "reduction": round(saved / base_tokens, 6),
        "mining": vocabulary.mining,
        "seconds": round(seconds, 2),
    }


def _print(vocabulary: Any, summary: dict[str, Any]) -> None:
    table = Table(title="The most useful latents", title_justify="left")
    for name in ("id", "text", "tokens", "uses", "tasks"):
        table.add_column(name, justify="left" if name == "text" else "right")
    for latent in vocabulary.latents[:10]:
        row = (latent.id, repr(latent.text), len(latent.tokens), latent.uses, latent.support)
        table.add_row(*[str(value).replace("[", r"\[") for value in row])
    Console().print(table)
    _print_gates(vocabulary.mining["gates"])
    click.echo(
        f"{summary['latents']} latents: {summary['reduction']:.1%} fewer units on the tasks that they were "
        f"mined on ({summary['mining']['tasks']}; see lar evaluate for others)\n"
        f"{summary['vocabulary']} in {summary['seconds']:.1f} s"
    )


def _print_gates(gates: list[dict[str, Any]]) -> None:
    """What each gate cost: reductions are those of the corpus, with all gates up to the row's."""
    if len(gates) == 1:
        return
    table = Table(title="What segments fit for engines cost", title_justify="left")
    for name in ("gate", "dropped", "reduction", "cost"):
        table.add_column(name, justify="left" if name == "gate" else "right")
    before = gates[0]["reduction"]
    for gate in gates:
        cost = f"{100 * (before - gate['reduction']):.2f} points"
        table.add_row(gate["name"], f"{gate['candidates_dropped']:,}", f"{gate['reduction']:.1%}", cost)
        before = gate["reduction"]
    Console().print(table)
