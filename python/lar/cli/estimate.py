"""`lar estimate`: what latents would save on one's own logs, before anything is trained."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lar.cli.common import LOGS, json_option, print_json, progress_bar
from lar.cli.estimate_text import REALISED, print_estimate
from lar.cli.fields import Fields, fields_options
from lar.cli.sampling import most_tokens_option, sample_of, tokenizer_option
from lar.errors import OptionError

if TYPE_CHECKING:
    from lar.cli.next_step import Command
    from lar.evaluation.estimate import Estimate, Point
    from lar.evaluation.money import Prices
    from lar.evaluation.sample import Sample
    from lar.evaluation.training_cost import TrainingCost

RUNS = 1000  # whose bill is shown where no number is given


@click.command("estimate")
@click.argument("logs", nargs=-1, required=True, type=LOGS)
@tokenizer_option
@fields_options("task_key", "messages_key", "reply_key")
@click.option(
    "--size",
    "sizes",
    multiple=True,
    type=click.IntRange(1),
    help="A number of latents; may be repeated (default: 4 to 1,024).",
)
@click.option(
    "--max-entropy",
    "gates",
    metavar="NATS|pN|none",
    multiple=True,
    help="An entropy gate: a token may continue a segment only if the next-token entropy is at most this, in "
    "nats (0.25) or as a quantile of the logs' own entropies (p60). May be repeated; the first one is in the "
    "recommendation and in the bill.  [default: no gate]",
)
@click.option("--splits", default=5, show_default=True, type=click.IntRange(1), help="The number of splits.")
@most_tokens_option(1_000_000)
@click.option(
    "--prompt-weight", default=0.0, show_default=True, help="What a prompt token counts, see lar mine."
)
@click.option("--price-input", type=float, help="The price of a million input tokens.")
@click.option("--price-cached", type=float, help="The price of a million input tokens that the cache has.")
@click.option("--price-output", type=float, help="The price of a million generated tokens.")
@click.option(
    "--gpu-hour",
    type=float,
    help="The price of your GPU for an hour: with --tokens-per-second, in place of --price-output. The bill "
    "is then for decoding only.",
)
@click.option(
    "--tokens-per-second", type=float, help="The tokens a second that your GPU generates, of all requests."
)
@click.option(
    "--runs-per-month",
    type=click.IntRange(1),
    help=f"The number of runs in a month, whose bill is shown.  [default: {RUNS}]",
)
@json_option
def command(
    logs: tuple[Path | str, ...],
    fields: Fields,
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

    The recommended number of latents is the one that lar mine takes without --size: the largest of which half
    or more have 40 uses or more, and which leaves a turn 5 units or more. The bill and the next commands are
    for it, without an entropy gate unless --max-entropy is given.

    LOGS is a corpus folder, or files of any known format with --tokenizer. All are read, and a sample of
    whole tasks is tokenized and mined. No model and no GPU are needed. With prices, a month's bill is shown
    with its arithmetic.

    \b
    Examples:
      lar estimate corpus/
      lar estimate logs/ --tokenizer Qwen3-8B/ --price-input 0.2 --price-output 0.6 --runs-per-month 100000
    """
    from lar.cli.log_report import losses_summary, print_losses
    from lar.cli.next_step import print_next
    from lar.distillation.options import AdaptOptions
    from lar.evaluation.estimate import estimate
    from lar.evaluation.training_cost import tokens_read, training_cost
    from lar.mining.options import SIZES, MiningOptions
    from lar.trajectories import Report

    bill = _bill(**prices)
    gates_read = [None if gate == "none" else gate for gate in gates] or [None]
    for gate in gates_read:  # checked before anything is read
        MiningOptions(max_entropy=gate, prompt_weight=prompt_weight)
    report = Report()
    sample = sample_of(logs, tokenizer, fields, most_tokens, report)
    with progress_bar("estimating", unit="minings") as progress:
        found = estimate(
            sample,
            sizes=sizes or SIZES,
            entropy_gates=gates_read,
            splits=splits,
            prompt_weight=prompt_weight,
            progress=progress,
        )
    folder = tokenizer or sample.corpus.path
    tokens = round(tokens_read(sample.corpus, AdaptOptions.max_length) * sample.scale)
    cost = training_cost(folder, tokens, found.recommended.size)
    month = _bill_of(found.recommended, bill, found.whole)
    summary = {
        **found.to_dict(),
        "records": sum(counts.records for counts in report.formats.values()) or None,
        "realised": list(reversed(REALISED)),  # in the order of the bill's months
        "bill": month,
        "training": None if cost is None else _training(cost, month, AdaptOptions.max_length),
    }
    if as_json:
        print_json(summary | losses_summary(report))
    else:
        print_estimate(found, summary)
        print_losses(report)
    print_next(*_next_steps(logs, tokenizer, fields, found, sized=bool(sizes)), as_json=as_json, label="then")


def _bill(
    price_input: float | None,
    price_cached: float | None,
    price_output: float | None,
    gpu_hour: float | None,
    tokens_per_second: float | None,
    runs_per_month: int | None,
) -> "Prices | None":
    """The prices, None where none are given."""
    from lar.evaluation.money import Machine, Prices

    if (gpu_hour is None) != (tokens_per_second is None):
        raise OptionError("--gpu-hour and --tokens-per-second go together")
    if gpu_hour is not None and price_output is not None:
        raise OptionError("give --price-output or --gpu-hour, not both")
    machine = None
    if gpu_hour is not None and tokens_per_second is not None:
        machine = Machine(gpu_hour, tokens_per_second)
        price_output = machine.output_price
    given = (price_input, price_cached, price_output)
    if all(price is None for price in given):
        if runs_per_month is not None:
            raise OptionError("--runs-per-month needs prices: --price-input, --price-output or --gpu-hour")
        return None
    return Prices(runs_per_month or RUNS, price_input, price_output, price_cached, machine)


def _bill_of(point: "Point", prices: "Prices | None", whole: "Sample") -> dict[str, Any] | None:
    """A month's cost without latents, and with those of a point at both ends of what students realised.

    with, saved_written: in the order of `realised` in the summary, the most first.
    without_error: two standard errors of `without`, as a share; 0 where all logs were measured.
    """
    if prices is None:
        return None
    from lar.evaluation.money import realised
    from lar.evaluation.usage import base_tokens_by_task

    usage = point.usage
    without = prices.month(usage.base, usage.runs)
    written = prices.written(usage.base, usage.runs)
    students = [realised(usage, share) for share in reversed(REALISED)]
    months = [prices.month(found.units, found.runs) for found in students]
    costs = {task: prices.month(tokens, 1) for task, tokens in base_tokens_by_task(whole.corpus).items()}
    return {
        "runs": prices.runs,
        "price_input": prices.input,
        "price_cached": prices.cached,
        "price_output": prices.output,
        "gpu": None if prices.machine is None else asdict(prices.machine),
        "without": round(without, 6),
        "without_error": round(whole.error_of_all(costs), 4),
        "with": [round(month, 6) for month in months],
        "saved_written": [round(written - prices.written(found.units, found.runs), 6) for found in students],
    }


def _training(cost: "TrainingCost", bill: dict[str, Any] | None, max_length: int) -> dict[str, Any]:
    """What training takes as JSON-ready values; max_length: of the windows that are read."""
    return {**cost.to_dict(), "max_length": max_length, **_training_price(cost.hours, bill)}


def _training_price(hours: float, bill: dict[str, Any] | None) -> dict[str, Any]:
    """What student and control cost by the GPU's hours, and after how many months that is saved.

    months: at both ends of what students realised, as the bill's `with`; None where nothing is saved. Empty
    without the price of a GPU.
    """
    if bill is None or bill["gpu"] is None:
        return {}
    price = 2 * hours * bill["gpu"]["hour"]
    saved = [bill["without"] - month for month in bill["with"]]
    return {"price": round(price, 6), "months": [price / month if month > 0 else None for month in saved]}


def _next_steps(
    logs: tuple[Path | str, ...],
    tokenizer: Path | None,
    fields: Fields,
    found: "Estimate",
    *,
    sized: bool,
) -> "list[Command]":
    """The commands that go on from here: build a corpus, score it for a gate, mine what is recommended.

    sized: whether sizes were given. Where they were not, mining chooses by the same rule as the estimate, of
    the tasks that are then left: a size of all tasks can be too large for them.
    """
    from lar.cli.inputs import is_corpus
    from lar.cli.next_step import MODEL, beside, hold_out_flags, lasting, new_split_flags
    from lar.corpus import Corpus

    steps: list[Command] = []
    folder = Path(logs[0])
    hold_out: tuple[str, ...] = ()
    if is_corpus(folder):
        hold_out = new_split_flags(Corpus.load(folder))
    else:
        flags = (*fields.flags, *hold_out_flags(found.whole.corpus.tasks))
        folder = beside(Path(), "corpus")
        given = ("--tokenizer", tokenizer or MODEL, *flags)
        steps.append(("lar", "corpus", *lasting(logs), *given, "-o", folder))
    gate = found.recommended.gate
    if gate is not None and found.teacher is None:
        steps.append(("lar", "score", folder, "--model", _model(tokenizer)))
    weight = found.prompt_weight
    options = (
        *(("--size", str(found.recommended.size)) if sized else ()),
        *(() if gate is None else ("--max-entropy", str(gate))),
        *(("--prompt-weight", f"{weight:g}") if weight else ()),
    )
    return [*steps, ("lar", "mine", folder, *options, *hold_out, "-o", beside(folder, "vocabulary"))]


def _model(tokenizer: Path | None) -> Path | str:
    """The model's folder where the tokenizer came with one, else the word for it."""
    from lar.cli.next_step import MODEL, is_model

    return tokenizer if tokenizer is not None and is_model(tokenizer) else MODEL
