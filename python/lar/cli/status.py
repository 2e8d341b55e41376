"""`lar status`: what lies in a folder, and what to do next."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lar.cli.common import json_option, print_json
from lar.cli.prose import print_prose
from lar.utils.words import counted

if TYPE_CHECKING:
    from lar.cli.inventory import Found
    from lar.cli.next_step import Command


@click.command("status")
@click.argument(
    "folder", default=".", type=click.Path(exists=True, file_okay=False, readable=True, path_type=Path)
)
@json_option
def command(folder: Path, as_json: bool) -> None:
    """Show what lies in FOLDER (the present one if none is given), what goes with what, and what to do next.

    Trajectories, corpora, vocabularies, models, students, controls, sweeps, exports and demos are recognized,
    each with its state and its options. What goes with what is found by fingerprints of models, latents and
    tasks.

    \b
    Examples:
      lar status
      lar status demo/ --json
    """
    from lar.cli.inventory import finished, inventory, leftovers

    found, partial, unplaced = inventory(folder), leftovers(folder), finished(folder)
    label, steps = _next_steps(folder, found) if found or not unplaced else ("", [])
    if as_json:
        print_json(
            {
                "folder": str(folder),
                "found": [result.to_dict() for result in found],
                "leftovers": list(map(str, partial)),
                "finished": {str(path): str(place) for path, place in unplaced.items()},
                "next": [list(map(str, step)) for step in steps],
            }
        )
        return
    for result in found:
        _print(result)
    for path, place in unplaced.items():
        other = f"; move {place} away" if place.exists() else ""
        move = shlex.join(["mv", str(path), str(place)])
        click.echo(
            f"a finished result that could not be moved to its place{other}; if nothing is running: {move}"
        )
    if not found and not unplaced:
        print_prose(f"{folder}: nothing that lar has written")
    if partial:
        removal = shlex.join(["rm", "-r", *map(str, partial)])
        click.echo(
            f"{counted(len(partial), 'temporary file')} of stopped commands; if none is running: {removal}"
        )
    for number, step in enumerate(steps):
        click.echo(f"{label if number else 'Next'}: {shlex.join(map(str, step))}")


def _print(found: "Found") -> None:
    from lar.cli.inventory import COMPLETE, STOPPED

    print_prose(f"{found.kind}: {found.path}" + ("" if found.state == COMPLETE else f" ({found.state})"))
    if facts := [text for name, value in found.facts.items() if (text := _fact(name, value))]:
        print_prose(", ".join(facts), indent="    ")
    if found.goes_with:
        print_prose(f"goes with {', '.join(found.goes_with)}", indent="    ")
    if found.state == STOPPED:
        print_prose("run the same command again to continue", indent="    ")


def _fact(name: str, value: Any) -> str:
    """A figure or an option in words; empty for what only --json lists."""
    from lar.cli.inventory import COUNTS

    if value is None or value is False or name in ("options", "format_version", "size"):
        return ""
    if name == "prompt_weight" and not value:  # prompts were not mined
        return ""
    if name == "split":
        return f"hold out {value['hold_out']:g} (seed {value['seed']})"
    if name == "teacher" and isinstance(value, dict):
        stopped = "" if value["state"] == "complete" else " (stopped: run lar score again)"
        part = "" if value["share"] == 1 else f"a sample of {value['tasks']:,} tasks "
        return f"{part}scored by {value['name']}{stopped}"
    label = name.replace("_", " ")
    if isinstance(value, list):
        return f"{label}: {' '.join(value) or 'nothing yet'}"
    if isinstance(value, float):
        return f"{label} {value:.3g}"
    if name in COUNTS:
        return f"{value:,} {label}"
    return str(value) if name in ("fault", "architecture") else f"{label} {value}"


def _next_steps(folder: Path, found: list["Found"]) -> tuple[str, list["Command"]]:
    """The commands that go on from the result that is furthest in the pipeline.

    Also whether one of the later ones may be run instead ("or"), or is to follow ("then").
    """
    from lar.cli import next_step
    from lar.cli.inventory import COMPLETE, is_made_of
    from lar.cli.run import STAGES, again

    of = {kind: [one for one in found if (one.kind, one.state) == (kind, COMPLETE)] for kind in _STAGES}
    runs = [run for run in of["run"] if STAGES[-1] not in run.facts["done"]]
    if runs and (runs[-1].path == folder or not of["corpus"]):
        return "or", [tuple(again(runs[-1].path))]
    if of["export"]:
        last = of["export"][-1]
        lora = last.facts.get("form") == "lora"
        return "or", next_step.after_export(last.path, lora=lora, gguf=last.facts["gguf"])
    sweeps = [sweep for sweep in found if sweep.kind == "sweep"]
    if sweeps and (sweeps[-1].path == folder or not of["corpus"]):
        return "or", _from_a_sweep(sweeps[-1])
    if not of["corpus"]:
        return "or", _without_a_corpus(folder, of)
    corpus = of["corpus"][-1]
    held_out = _held_out(corpus.path)
    students = [
        one
        for one in of["student"]
        if one.keys["tokenizer"] == corpus.keys["tokenizer"]
        and is_made_of(one, corpus)
        and not one.tasks & held_out
    ]
    if students:
        return "then", _from_a_student(corpus.path, students[-1])
    if sweeps and (export := _from_a_sweep(sweeps[-1])):
        return "or", export
    return "or", _from_a_corpus(corpus, of["vocabulary"])


def _held_out(corpus: Path) -> frozenset[str]:
    """Digests of the tasks that a corpus holds out: every stage refuses what has seen one of them."""
    from lar.corpus import Corpus
    from lar.corpus.seen_tasks import digests_of

    held_out = Corpus.load(corpus).held_out
    return frozenset() if held_out is None else digests_of(held_out)


_STAGES = ("run", "trajectories", "corpus", "vocabulary", "student", "export")


def _from_a_sweep(sweep: "Found") -> list["Command"]:
    """Export the student that the sweep recommends, if it has ended and there is one."""
    best = sweep.facts.get("recommended")
    if not isinstance(best, str):
        return []
    return [("lar", "export", sweep.path / best / "student", "-o", sweep.path / "export")]


def _without_a_corpus(folder: Path, of: dict[str, list["Found"]]) -> list["Command"]:
    """Export a student, measure a vocabulary on logs or make a corpus for it; else begin with logs."""
    from lar.cli.next_step import LOGS, beside

    if of["student"]:
        path = of["student"][-1].path
        return [("lar", "export", path, "-o", beside(path, "export"))]
    if of["vocabulary"] and not of["trajectories"]:
        path = of["vocabulary"][-1].path
        corpus = ("lar", "corpus", LOGS, "--tokenizer", path / "tokenizer", "-o", beside(path, "corpus"))
        return [("lar", "evaluate", LOGS, path), corpus]
    return _to_a_corpus(folder, of["trajectories"])


def _to_a_corpus(folder: Path, trajectories: list["Found"]) -> list["Command"]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    from lar.cli.inventory import mark_broken
    from lar.cli.next_step import after_import

    if not trajectories:
        return [("lar", "import", "LOGS", "-o", folder / "trajectories.parquet")]
    path = trajectories[-1].path
    try:
        tasks = pq.read_table(path, columns=["task"])["task"].to_pylist()
    except (pa.ArrowException, OSError) as error:
        mark_broken(trajectories[-1], error)
        return []
    return after_import(path, set(tasks))


def _from_a_student(corpus: Path, student: "Found") -> list["Command"]:
    from lar.cli import next_step
    from lar.corpus import Corpus

    recorded = student.facts["teacher"]
    known = bool(recorded) and Path(recorded).is_dir()
    teacher = Path(recorded if known else next_step.teacher_of(Corpus.load(corpus)))
    return next_step.after_distill(corpus, teacher, student.path, control=False)


def _from_a_corpus(chosen: "Found", vocabularies: list["Found"]) -> list["Command"]:
    from lar.cli import next_step
    from lar.cli.inventory import STOPPED, split_of
    from lar.corpus import Corpus

    corpus = Corpus.load(chosen.path)
    model = next_step.teacher_of(corpus)
    held_out = _held_out(chosen.path)
    mine = [one for one in vocabularies if str(chosen.path) in one.goes_with and not one.tasks & held_out]
    if mine:
        if (split := split_of(mine[-1])) is not None:
            corpus = corpus.with_split(split.hold_out, split.seed)
        return next_step.after_mine((chosen.path,), corpus, mine[-1].path, None)
    if corpus.teacher is not None:
        if chosen.facts["teacher"]["state"] == STOPPED:
            windows = corpus.teacher.max_length
            flags = () if windows is None else ("--max-length", str(windows))
            return [("lar", "score", chosen.path, "--model", model, *flags)]
        return next_step.after_score(corpus)
    return next_step.after_corpus(corpus, Path(model))
