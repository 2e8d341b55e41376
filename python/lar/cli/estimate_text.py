"""What `lar estimate` prints for people: the curve, what to take, the bill, and what training would take."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from rich.table import Table

from lar.cli.prose import print_prose
from lar.cli.tables import print_table
from lar.corpus.selection import HOLD_OUT
from lar.evaluation.recommendation import found_in_words, in_words, unwritten_in_words
from lar.utils.words import about_hours, counted, percent, signed_percent
from lar.vocabulary.learnable import LEARNABLE

if TYPE_CHECKING:
    from lar.evaluation.estimate import Estimate, Point

# What share of the saving in its logs' text a trained agent had. On search_qa 64 latents save 37.7% of the
# held-out text (docs/results/agents.md, "What rare latents cost"). Agents with them saved 35.4% of what they
# generated in one training, and 28.0% in another (docs/evidence.md): 0.94 and 0.74. Two trainings on one
# world are no bound.
REALISED = (0.74, 1.0)
# Where a run is so many records or more, the bill says so: who counts calls counts each run several times.
_SEVERAL = 1.5


# Of fewer tasks, a split holds out so few that the range over the splits is no guide.
FEW_TASKS = 25


def print_estimate(found: "Estimate", summary: dict[str, Any]) -> None:
    """Print an estimate; `summary` is what --json would print of it."""
    _print_size(found)
    print_table(curve(found.points))
    _print_short(found)
    _print_few(found)
    _print_choice(found)
    _print_more(found)
    if summary["bill"]:
        _print_bill(found.recommended, summary["bill"], unwritten_in_words(found.unwritten))
        _print_records(found, summary["records"])
    _print_training(summary["training"])
    if found.whole.held_out:
        print_prose(f"Left out: the {found.whole.held_out:,} tasks that the corpus holds out.")


def _print_size(found: "Estimate") -> None:
    whole = found.whole
    error = f" (± {whole.error:.1%}, two standard errors)" if whole.error else ""
    about = "about " if whole.error else ""
    print_prose(
        f"{whole.runs:,} runs at {whole.tasks:,} tasks, {about}{whole.tokens:,} tokens{error}; "
        f"the table's tokens and units are those of a run; frequent: the share of the latents with"
        f" {LEARNABLE} uses or more"
    )
    corpus = found.whole.corpus
    if len(corpus) > corpus.num_trajectories:
        print_prose(
            "These tokens count the text before a turn once more where the chat template writes turns"
            " otherwise when a conversation goes on, mostly without reasoning (docs/training.md)."
        )
    if found.is_sample:
        print_prose(
            f"Measured on a sample: {found.runs:,} runs at {found.tasks:,} tasks, {found.tokens:,} tokens"
            " (docs/howto/estimate.md)."
        )


def _print_few(found: "Estimate") -> None:
    """Print that the splits' range says little, where each holds out few tasks."""
    if found.tasks < FEW_TASKS:
        print_prose(
            f"Few tasks: a split holds out about {round(found.tasks * HOLD_OUT)} of {found.tasks}, so other"
            " logs of this agent may save much more or less than the range over the splits."
        )


def curve(points: Sequence["Point"]) -> Table:
    """The points as rows, after one for the base tokens."""
    table = Table(box=None, pad_edge=False)
    columns = (
        "latents",
        "gate",
        "frequent",
        "generated",
        "over the splits",
        "prompt",
        "written",
        "read",
        "in all",
    )
    for name in columns:
        table.add_column(name, justify="right")
    base = points[0].to_dict()
    table.add_row("none", "", "", "", "", "", *_units(base, "base"))
    for point in points:
        low, high = min(point.reductions), max(point.reductions)
        table.add_row(
            f"{point.size:,}",
            str(point.gate or "none"),
            f"{point.learnable:.0%}",
            signed_percent(-point.reduction),
            f"{signed_percent(-low)} to {signed_percent(-high)}",
            signed_percent(-point.prompt_reduction),
            *_units(point.to_dict(), "units"),
        )
    return table


def _units(row: dict[str, Any], kind: str) -> tuple[str, str, str]:
    written, read = row[f"{kind}_generated"], row[f"{kind}_prompt"]
    return f"{written:,.0f}", f"{read:,.0f}", f"{written + read:,.0f}"


def _print_short(found: "Estimate") -> None:
    """Print how many latents there are where fewer were found than asked for."""
    short = [
        f"{point.latents:,.0f} of {point.size:,}" + ("" if point.gate is None else f" behind {point.gate}")
        for point in found.points
        if found_in_words(point.size, point.latents)
    ]
    if short:
        print_prose(f"Fewer latents were found than asked for: {', '.join(short)} (mean over the splits).")


def _print_choice(found: "Estimate") -> None:
    print_prose(in_words(found))
    by = "the n-gram entropy of these logs"
    if found.teacher:
        few = f" on {found.scored_tasks:,} of these tasks" if found.scored_tasks < found.tasks else ""
        by = f"the entropies of {found.teacher}{few}"
    if found.gated is not None:
        saved = found.gated.reduction
        gate = "a gate" if found.teacher else "a gate by a model's entropies (lar score)"
        print_prose(
            f"No entropy gate is in this. Behind {found.gated.gate}, {found.recommended.size} latents would"
            f" save {percent(saved)} in place of {percent(saved - found.gated.difference)}"
            f" ({counted(len(found.gated.splits), 'split')}; by {by}). Try {gate} if a student loses"
            " success (docs/howto/choose.md)."
        )
    elif any(point.gate is not None for point in found.points):
        print_prose(f"The gates are by {by}.")
        if found.teacher is None:
            print_prose(
                "The n-gram entropy stands in for a teacher's, and does not show what a model finds hard: run"
                " lar score, and estimate again, before you decide on a gate."
            )


def _print_more(found: "Estimate") -> None:
    best = found.recommended
    print_prose(f"With {best.size} latents mined on all of these tasks, {best.turn.in_words()}.")
    if found.half is not None:
        more = found.is_sample and round(found.half.difference, 3) < 0  # as it is shown
        part = " So expect more of all logs than of this sample." if more else ""
        saved = found.half.reduction
        print_prose(
            f"Mined on half as many tasks, {best.size} latents save {percent(saved)} in place of"
            f" {percent(saved - found.half.difference)} ({counted(len(found.half.splits), 'split')}).{part}"
        )
    print_prose(
        f"A trained agent may save less than its logs could: SmolLM2-135M saved {REALISED[0]:.0%} of that on"
        " questions with a search tool, in the worse of two trainings (docs/howto/estimate.md). So"
        f" {best.size} latents may save {percent(REALISED[0] * best.reduction)}, or less still."
    )
    print_prose(
        "Its success is not in this estimate. SmolLM2-135M kept it on the questions with 64 latents and lost"
        " some with 256, and lost some on telecom tickets with 64: measure yours against a control"
        " (docs/howto/success.md)."
    )


def _print_training(cost: dict[str, Any] | None) -> None:
    if cost is None:
        print_prose(
            "Training: give --tokenizer a model's folder with config.json for an idea of the GPU hours."
        )
        return
    print_prose(
        f"Training takes {about_hours(cost['hours'])} of one H100 with {cost['parameters'] / 1e9:.2f} B"
        f" parameters, and as much for the control.{_price(cost)} That is one pass over all logs, the"
        f" default: {_tokens(cost['tokens'])} tokens in windows of at most {cost['max_length']:,}"
        " (--max-length; a long run's windows repeat its head). Memory:"
        f" {cost['weights_gib']:.1f} GiB for the weights, {cost['trained_gib']:.1f} GiB for what is trained,"
        " and activations. This is arithmetic, at the rate of one measurement with gradient checkpointing"
        " (docs/howto/one-gpu.md)."
    )


def _tokens(number: float) -> str:
    return f"{number / 1e6:,.1f} M" if number >= 1e6 else f"{number:,.0f}"


def _price(cost: dict[str, Any]) -> str:
    """What the training costs, and when that is saved; empty where the price of a GPU is unknown."""
    if "price" not in cost:
        return ""
    text = f" Both cost {max(cost['price'], 0.01):,.2f} at your price of an hour"
    soonest, latest = cost["months"]
    if soonest is None:
        return f"{text}, which latents do not pay back."
    if latest is None:
        return f"{text}, which {_months(soonest)} pay back at best."
    begin, end = (_months(number) for number in (soonest, latest))
    shown = end if begin == end else f"{begin.removesuffix(' months')} to {end}"
    return f"{text}, paid back in {shown}."


def _months(number: float) -> str:
    return "under 0.1 months" if number < 0.1 else f"{number:,.1f} months"


def _print_bill(point: "Point", bill: dict[str, Any], unwritten: str) -> None:
    """Print the arithmetic of a bill, and what it leaves out; `unwritten` of the agent's text, in words."""
    row = point.to_dict()
    print_prose(_head(point, bill))
    for kind, label in (("base", "without latents"), ("units", "with latents")):
        cost = bill["without"] if kind == "base" else bill["with"][0]
        sums = " + ".join(
            f"{tokens:,.0f} {name} x {price:g}" for tokens, name, price in _billed(row, kind, bill)
        )
        text = f"{label:<16}{sums}, / 1,000,000 x {bill['runs']:,} runs a month = {cost:,.2f}"
        print_prose(text, hanging=16)
    high, low = (bill["without"] - month for month in bill["with"])
    text = (
        f"{'saved':<16}{low:,.2f} to {high:,.2f} a month, if a student saves {REALISED[0]:.0%} (one example,"
        f" no bound) to {REALISED[1]:.0%} of what its logs could"
    )
    missing = [f"--price-{name}" for name in ("input", "output") if bill[f"price_{name}"] is None]
    if not missing:
        high, low = bill["saved_written"]
        text += f"; of this {low:,.2f} to {high:,.2f} are for what is written, the rest for what is sent"
    print_prose(text, hanging=16)
    if error := bill["without_error"]:
        print_prose(
            f"{'by a sample':<16}without latents ± {error:.1%}, two standard errors over the sample's tasks",
            hanging=16,
        )
    left_out = [f"tokens without a price ({', '.join(missing)})"] if missing else []
    for text in [*left_out, *filter(None, [unwritten])]:
        print_prose(f"{'not in the bill':<16}{text}", hanging=16)


def _print_records(found: "Estimate", records: int | None) -> None:
    """Print that a run is several of the logs' records (None for a corpus), where each is a call."""
    a_run = 1 if records is None else records / found.whole.runs
    if a_run >= _SEVERAL:
        print_prose(
            f"{'mind':<16}a run is {a_run:,.1f} of the {records:,} records of these logs: count your month in"
            " runs, not in records",
            hanging=16,
        )


def _head(point: "Point", bill: dict[str, Any]) -> str:
    """What the bill is for, and what it takes for granted with a GPU of one's own."""
    gate = "no entropy gate" if point.gate is None else f"the entropy gate {point.gate}"
    gpu = bill["gpu"]
    latents = f"{point.size} latents{found_in_words(point.size, point.latents)}"
    if gpu is None:
        return f"The bill of a month, with {latents} and {gate}:"
    only, prefill = ("", "") if bill["price_input"] is not None else (" only", "; prefill is not counted")
    return (
        f"The bill of a month, with {latents} and {gate}, for decoding{only} on a GPU at"
        f" {gpu['hour']:g} an hour. Assumed: a unit takes as long as a token,"
        f" {gpu['tokens_a_second']:,g} a second{prefill}:"
    )


def _billed(row: dict[str, Any], kind: str, bill: dict[str, Any]) -> Iterator[tuple[float, str, float]]:
    """What a run pays for: how many tokens or units, what they are, and the price of a million."""
    cached = bill["price_cached"]
    prices = {"sent": bill["price_input"], "new": bill["price_input"], "cached": cached}
    for name in ("sent",) if cached is None else ("new", "cached"):
        if prices[name] is not None:
            yield row[f"{kind}_{name}"], name, prices[name]
    if bill["price_output"] is not None:
        yield row[f"{kind}_generated"], "written", bill["price_output"]
