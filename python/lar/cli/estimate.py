"""`lar estimate`: what latents would save on one's own logs, before anything is trained."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.table import Table

from lar.cli.common import EXISTING_PATH, LOGS, json_option, print_json, progress_bar
from lar.cli.tables import print_table
from lar.errors import OptionError

if TYPE_CHECKING:
    from lar.cli.next_step import Command

# In what share of the places where the parse has a latent a student wrote it by greedy decoding. It wrote the
# latent's first token in 41% on SmolLM2 and in 0.3% on the demo (docs/engines.md, "A student beside its
# control").
REALISED = (0.59, 1.0)
PASSES = 3  # over the logs
RUNS = 1000  # whose bill is shown where no number is given
_SOURCE = "59% for SmolLM2-135M after 500 steps on tau_bench, nearly all on the demo's world"


@click.command("estimate")
@click.argument("logs", nargs=-1, required=True, type=LOGS)
@click.option("--tokenizer", type=EXISTING_PATH, help="The model's folder; a corpus folder has its own.")
@click.option(
    "--size", "sizes", multiple=True, type=click.IntRange(1), help="A number of latents; may be repeated."
)
@click.option(
    "--max-entropy", "gates", multiple=True, help="An entropy gate (p60, 0.25, none); may be repeated."
)
@click.option("--splits", default=5, show_default=True, type=click.IntRange(1), help="The number of splits.")
@click.option(
    "--most-tokens",
    default=1_000_000,
    show_default=True,
    type=click.IntRange(1),
    help="Sample a larger corpus down to about so many tokens.",
)
@click.option(
    "--prompt-weight", default=0.0, show_default=True, help="What a prompt token counts, see lar mine."
)
@click.option("--price-input", type=float, help="The price of a million input tokens.")
@click.option("--price-cached", type=float, help="The price of a million input tokens that the cache has.")
@click.option("--price-output", type=float, help="The price of a million generated tokens.")
@click.option("--gpu-hour", type=float, help="The price of your GPU for an hour, instead of --price-output.")
@click.option(
    "--tokens-per-second", type=float, help="The tokens a second that it generates, of all requests."
)
@click.option("--runs-per-month", type=click.IntRange(1), help="The runs of your agent in a month.")
@json_option
def command(
    logs: tuple[Path | str, ...],
    tokenizer: Path | None,
    sizes: tuple[int, ...],
    gates: tuple[str, ...],
    splits: int,
    most_tokens: int,
    prompt_weight: float,
    as_json: bool,
    **prices: Any,
) -> None:
    """Mine on four fifths of the tasks in LOGS, measure on the others, and do so for five splits.

    LOGS is a corpus folder, or files of any known format with --tokenizer. No model and no GPU are needed.
    With prices, the last lines are a month's bill with the arithmetic.

    \b
    Examples:
      lar estimate corpus/
      lar estimate logs/ --tokenizer Qwen3-8B/ --price-input 0.2 --price-output 0.6 --runs-per-month 100000
    """
    from lar.cli.inputs import open_corpus
    from lar.cli.next_step import print_next
    from lar.evaluation.estimate import SIZES, estimate
    from lar.evaluation.training_cost import training_cost
    from lar.tokenizer.tokenizer import Tokenizer

    bill = _bill(**prices)
    corpus = open_corpus(logs, None if tokenizer is None else Tokenizer.load(tokenizer))
    with progress_bar("estimating", unit="minings") as progress:
        found = estimate(
            corpus,
            sizes=sizes or SIZES,
            entropy_gates=[None if gate == "none" else gate for gate in gates] or [None],
            splits=splits,
            most_tokens=most_tokens,
            prompt_weight=prompt_weight,
            progress=progress,
        )
    cost = training_cost(tokenizer or corpus.path, PASSES * found.tokens_in_all)
    summary = {
        **found.to_dict(),
        "realised": list(REALISED),
        "bill": _bill_of(found.recommended, bill),
        "training": None if cost is None else cost.to_dict(),
    }
    if as_json:
        print_json(summary)
    else:
        _print(found, summary)
        if corpus.held_out is not None:
            click.echo(f"Left out: the {len(corpus.held_out.tasks):,} tasks that the corpus holds out.")
    print_next(*_next_steps(logs, tokenizer, corpus, found.recommended.size), as_json=as_json, label="then")


def _bill(
    price_input: float | None,
    price_cached: float | None,
    price_output: float | None,
    gpu_hour: float | None,
    tokens_per_second: float | None,
    runs_per_month: int | None,
) -> Any:
    """The prices, None where none are given."""
    from lar.evaluation.money import Machine, Prices

    if (gpu_hour is None) != (tokens_per_second is None):
        raise OptionError("--gpu-hour and --tokens-per-second go together")
    if gpu_hour is not None and price_output is not None:
        raise OptionError("give --price-output or --gpu-hour, not both")
    if gpu_hour is not None and tokens_per_second is not None:
        price_output = Machine(gpu_hour, tokens_per_second).output_price
    given = (price_input, price_cached, price_output)
    if all(price is None for price in given):
        if runs_per_month is not None:
            raise OptionError("--runs-per-month needs prices: --price-input, --price-output or --gpu-hour")
        return None
    return Prices(runs_per_month or RUNS, price_input, price_output, price_cached)


def _bill_of(point: Any, prices: Any) -> dict[str, Any] | None:
    """A month's cost without latents, and with those of a point at both ends of what students realised."""
    if prices is None:
        return None
    from lar.evaluation.money import realised

    usage = point.usage
    low, high = (realised(usage, share) for share in REALISED)
    return {
        "runs": prices.runs,
        "price_input": prices.input,
        "price_cached": prices.cached,
        "price_output": prices.output,
        "without": round(prices.month(usage.base, usage.runs), 6),
        "with": [round(prices.month(found.units, found.runs), 6) for found in (high, low)],
    }


def _next_steps(
    logs: tuple[Path | str, ...], tokenizer: Path | None, corpus: Any, size: int
) -> "list[Command]":
    """The commands that go on from here."""
    from lar.cli.inputs import is_corpus
    from lar.cli.next_step import beside, new_split_flags

    hold_out = new_split_flags(corpus)
    if is_corpus(logs[0]):
        vocabulary = beside(corpus.path, "vocabulary")
        return [("lar", "mine", corpus.path, "--size", str(size), *hold_out, "-o", vocabulary)]
    made = beside(Path(), "corpus")
    build: Command = ("lar", "corpus", *logs, "--tokenizer", tokenizer or "MODEL", *hold_out, "-o", made)
    mine = ("lar", "mine", made, "--size", str(size), "-o", beside(made, "vocabulary"))
    return [build, mine]


def _print(found: Any, summary: dict[str, Any]) -> None:
    part = "" if found.tokens == found.tokens_in_all else f" of {found.tokens_in_all:,}"
    click.echo(
        f"{found.runs:,} runs at {found.tasks:,} tasks, {found.tokens:,}{part} tokens; units are a run's"
    )
    print_table(_curve(found))
    best = found.recommended
    click.echo(
        f"Take {best.size} latents: the smallest number that saves 90% of what the largest saves"
        f" ({best.reduction:.1%} of what the agent writes)."
    )
    click.echo(
        f"By greedy decoding, students wrote {REALISED[0]:.0%} to {REALISED[1]:.0%} of the latents"
        f" ({_SOURCE}): that would save about {REALISED[0] * best.reduction:.1%} to {best.reduction:.1%}."
    )
    if summary["bill"]:
        _print_bill(best, summary["bill"])
    if best.gate is None:
        click.echo(
            "No entropy gate was used: one protects success, and wants a teacher's entropies (lar score)."
        )
    _print_training(summary["training"])


def _print_training(cost: dict[str, Any] | None) -> None:
    if cost is None:
        click.echo(
            "Training: give --tokenizer a model's folder with config.json for an idea of the GPU hours."
        )
        return
    click.echo(
        f"Training: {PASSES} passes over all logs are {cost['tokens'] / 1e6:,.1f} M tokens, with"
        f" {cost['parameters'] / 1e9:.2f} B parameters about {cost['hours']:,.1f} hours of one H100 and"
        f" {cost['weights_gib']:.0f} GiB for the weights. This is arithmetic (6 operations a token and"
        " parameter at 40% of the GPU's peak): nothing was measured on a GPU yet."
    )


def _curve(found: Any) -> Table:
    table = Table(box=None, pad_edge=False)
    for name in ("latents", "gate", "generated", "over the splits", "prompt", "units written", "units read"):
        table.add_column(name, justify="right")
    for point in found.points:
        row = point.to_dict()
        table.add_row(
            f"{point.size:,}",
            str(point.gate or "none"),
            f"{-point.reduction:+.1%}",
            f"{-min(point.reductions):+.1%} to {-max(point.reductions):+.1%}",
            f"{-point.prompt_reduction:+.1%}",
            f"{row['units_generated']:,.0f} of {row['base_generated']:,.0f}",
            f"{row['units_prompt']:,.0f} of {row['base_prompt']:,.0f}",
        )
    return table


def _print_bill(point: Any, bill: dict[str, Any]) -> None:
    row = point.to_dict()
    for kind, label in (("base", "without latents"), ("units", "with latents")):
        cost = bill["without"] if kind == "base" else bill["with"][0]
        parts = [f"{row[f'{kind}_generated']:,.0f} written x {bill['price_output'] or 0:g}"]
        if bill["price_cached"] is None:
            parts.insert(0, f"{row[f'{kind}_sent']:,.0f} sent x {bill['price_input'] or 0:g}")
        else:
            again = max(row[f"{kind}_sent"] - row[f"{kind}_prompt"], 0)
            parts.insert(0, f"{again:,.0f} cached x {bill['price_cached']:g}")
            parts.insert(0, f"{row[f'{kind}_prompt']:,.0f} new x {bill['price_input'] or 0:g}")
        click.echo(f"{label:<16}{' + '.join(parts)}, / 1,000,000 x {bill['runs']:,} runs = {cost:,.2f}")
    low, high = bill["without"] - bill["with"][1], bill["without"] - bill["with"][0]
    click.echo(
        f"{'saved':<16}{low:,.2f} to {high:,.2f} for {bill['runs']:,} runs, by the latents that a student"
        " writes"
    )
    missing = [f"--price-{name}" for name in ("input", "output") if bill[f"price_{name}"] is None]
    if missing:
        click.echo(f"{'not in the bill':<16}tokens without a price ({', '.join(missing)})")
