"""`lar sweep`: find how far units can be reduced before a student loses what its control can do."""

import importlib.util
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.table import Table

from lar.cli.common import EXISTING_PATH, PATH, json_option, note, print_json, progress_bar
from lar.cli.inputs import hold_out_options, with_split
from lar.cli.next_step import print_next
from lar.cli.prose import print_prose
from lar.cli.tables import print_table
from lar.cli.training import (
    chosen_options,
    device_options,
    needs_train_extra,
    option_flags,
    options_file_option,
    teacher_option,
)
from lar.distillation.options import DistillOptions
from lar.errors import OptionError
from lar.utils.processes import count
from lar.utils.result_files import SWEEP_RESULT_FILE
from lar.utils.words import percent

if TYPE_CHECKING:
    from lar.evaluation.boundary import Point, Sweep

FILES = (SWEEP_RESULT_FILE, "sweep.png", "sweep.svg")


@click.command("sweep")
@click.argument("corpus", type=EXISTING_PATH)
@teacher_option
@click.option("-o", "--output", required=True, type=PATH, help="The folder of all students and figures.")
@click.option(
    "--size",
    "sizes",
    multiple=True,
    type=click.IntRange(1),
    help="A number of latents; may be repeated (default: 64, 256 and 1,024).",
)
@click.option(
    "--max-entropy",
    "gates",
    multiple=True,
    metavar="NATS|pN|none",
    help="An entropy gate; may be repeated (default: none, p90 and p75).",
)
@click.option(
    "--tolerance",
    type=click.FloatRange(0),
    help="What a student may lose: a share of the bits per byte (default 0.05), or of all tasks (0.01).",
)
@click.option(
    "--success",
    metavar="FILE.py:FUNCTION",
    help="A function that takes a lar.Student and returns for each task whether it was solved.",
)
@hold_out_options
@options_file_option
@option_flags(DistillOptions)
@device_options
@json_option
def command(
    corpus: Path,
    model: Path,
    output: Path,
    sizes: tuple[int, ...],
    gates: tuple[str, ...],
    tolerance: float | None,
    success: str | None,
    hold_out: float | None,
    split_seed: int | None,
    options_file: Path | None,
    as_json: bool,
    **flags: Any,
) -> None:
    """Distil a student for each entropy gate and number of latents, beside one control, and compare them.

    Students are compared on the tasks that CORPUS holds out: by bits per byte, or by --success on the tasks
    of a world of your own. The result names the largest reduction before the first that loses more than
    --tolerance, that first one, and those beyond it that are within the tolerance again. Before it begins,
    the command tells about how long it will take. A sweep that was stopped goes on when you start it again.
    Further sizes and gates can be added: the result has all students of the folder.

    \b
    Examples:
      lar sweep corpus/ --model teacher/ --max-steps 500 -o sweep/
      lar sweep corpus/ --model teacher/ --size 64 --size 256 --max-entropy none --max-entropy p90 \\
          --max-steps 500 --success world.py:solved -o sweep/
    """
    needs_train_extra()
    if count() > 1:
        raise OptionError("lar sweep is one process: use lar distill with accelerate launch or torchrun")
    from lar.corpus import Corpus
    from lar.evaluation.boundary import SweepOptions, sweep

    default = SweepOptions()
    chosen = SweepOptions(
        sizes or default.sizes,
        tuple(None if gate == "none" else gate for gate in gates) or default.gates,
        tolerance,
    )
    with progress_bar("sweeping", unit="steps") as progress:
        result = sweep(
            with_split(Corpus.load(corpus), hold_out, split_seed, options_file),
            model,
            output,
            chosen,
            chosen_options(DistillOptions, options_file, flags),
            success=None if success is None else load_function(success),
            progress=progress,
            announce=note,
        )
    if as_json:
        print_json(result.to_dict())
        return
    _print(result, output)
    if (best := result.boundary.best) is not None:
        student = output / best.name / "student"
        print_next(("lar", "export", student, "-o", output / "export"), as_json=as_json)


def load_function(text: str) -> Callable[..., Any]:
    """The function that `FILE.py:FUNCTION` names; OptionError where there is none.

    The file is loaded as Python loads a program: it can import what lies beside it.
    """
    file, _, name = text.rpartition(":")
    path = Path(file).resolve()
    # A name of its own: the file may be called as a package is that others import.
    spec = (
        importlib.util.spec_from_file_location(f"lar_success_{path.stem}", path) if path.is_file() else None
    )
    if not name or spec is None or spec.loader is None:
        raise OptionError(f"--success {text}: give FILE.py:FUNCTION, with a Python file that exists")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where dataclasses and pickle look for it
    try:
        with _importable(path.parent):
            spec.loader.exec_module(module)
        function = getattr(module, name)
    except (Exception, SystemExit) as error:  # the file is a program: it can fail in any way that Python can
        sys.modules.pop(spec.name, None)
        raise OptionError(f"--success {text}: {type(error).__name__}: {error}") from error
    if not callable(function):
        raise OptionError(f"--success {text}: {name} is no function")
    loaded: Callable[..., Any] = function
    return loaded


@contextmanager
def _importable(folder: Path) -> Iterator[None]:
    """Python finds the modules in `folder` first; behind all others afterwards, for later imports.

    There they hide no package that a part of this one imports when it is needed.
    """
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))
        sys.path.append(str(folder))


def _name(point: "Point") -> str:
    return point.name if point.same_as is None else f"{point.name} (= {point.same_as})"


def _print(result: "Sweep", output: Path) -> None:
    table = Table(title="Students on held-out tasks")
    table.add_column("student")
    headings = ["latents", "fewer units", "bits per byte", *(["success"] if result.has_success else [])]
    for heading in headings:
        table.add_column(heading, justify="right")
    for name, point in [("control", result.control), *((_name(point), point) for point in result.points)]:
        success = [] if point.success_rate is None else [f"{point.success_rate:.1%}"]
        figures = [f"{point.latents:,}", percent(point.reduction), f"{point.bits_per_byte:.4f}", *success]
        table.add_row(name, *figures)
    print_table(table)
    print_prose(result.in_words())
    written = [name for name in FILES if (output / name).is_file()]
    print_prose(f"{output}: {', '.join(written)}")
