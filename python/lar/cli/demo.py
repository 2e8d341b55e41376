"""`lar demo`: run every step on a toy task, and print what it saved and cost."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.table import Table

from lar.cli.common import PATH, json_option, note, print_json, progress_bar
from lar.cli.prose import print_prose
from lar.cli.tables import print_table
from lar.cli.training import needs_train_extra
from lar.utils.progress import Progress
from lar.utils.words import percent

if TYPE_CHECKING:
    from lar.demo.result import DemoResult


@click.command("demo")
@click.option(
    "-o",
    "--output",
    type=PATH,
    default=Path("demo"),
    show_default=True,
    help="The folder to write; it must be new or empty.",
)
@click.option(
    "--tasks",
    type=int,
    default=100,
    show_default=True,
    help="The number of held-out tickets that each agent works on.",
)
@click.option(
    "--seed", type=int, default=0, show_default=True, help="The seed of tickets, wording and start values."
)
@json_option
def command(output: Path, tasks: int, seed: int, as_json: bool) -> None:
    """Show the method on a small order desk: train a tiny agent, give it latents, compare.

    A scripted expert closes tickets with eight tools; a tiny model learns from its logs until it solves most
    tickets that it has not seen. Its logs are scored and mined, a student and its control are distilled, and
    all three work on the same held-out tickets. Success is decided by the desk's state, not by text.

    \b
    Examples:
      lar demo
      lar demo -o /tmp/demo --seed 1 --tasks 200 --json
    """
    needs_train_extra()
    from lar.demo.run import DemoOptions, run_demo

    result = run_demo(output, DemoOptions(tasks=tasks, seed=seed), _stage)
    if as_json:
        print_json(result.to_dict())
    else:
        _print(result)


@contextmanager
def _stage(name: str, unit: str) -> Iterator[Progress]:
    """Show a bar while a stage runs and leave one line with its time."""
    began = time.perf_counter()
    with progress_bar(name, unit=unit) as progress:
        yield progress
    note(f"{name}: {time.perf_counter() - began:.1f} s")


def _print(result: "DemoResult") -> None:
    print_table(_agents(result))
    print_table(_latents(result))
    student, base = result.arms["student"], result.arms["base"]
    print_prose(
        f"The student writes {student.units:.1f} units a ticket where the base writes {base.base_tokens:.1f} "
        f"tokens: {percent(result.reduction)} fewer. Success against the control's: "
        f"{100 * result.success_change:+z.1f} points.\n"
        f"Everything is in {result.folder} ({sum(result.seconds.values()):.0f} s in all); "
        f"to look at it, open {result.folder / 'report.html'}."
    )


def _agents(result: "DemoResult") -> Table:
    tasks = len(result.arms["base"].solved)
    table = Table(title=f"The same {tasks} held-out tickets, greedy", title_justify="left")
    for name in ("agent", "success", "units / ticket", "base tokens / ticket", "turns", "seconds"):
        table.add_column(name, justify="left" if name == "agent" else "right")
    for name, arm in result.arms.items():
        numbers = (f"{arm.success:.1%}", f"{arm.units:.1f}", f"{arm.base_tokens:.1f}", f"{arm.turns:.1f}")
        table.add_row(name, *numbers, f"{arm.seconds:.1f}")
    return table


def _latents(result: "DemoResult") -> Table:
    table = Table(title="The latents that saved the student the most", title_justify="left")
    for name in ("text", "tokens", "uses", "units saved"):
        table.add_column(name, justify="left" if name == "text" else "right")
    for latent in result.latents:
        table.add_row(repr(latent.text), str(len(latent.tokens)), str(latent.uses), str(latent.saving))
    return table
