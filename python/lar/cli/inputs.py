"""Open what a command was given: corpus folders, or trajectory files of any format."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from lar.cli.common import progress_bar
from lar.cli.log_report import warn_of
from lar.corpus import Corpus
from lar.corpus.manifest import MANIFEST_FILE
from lar.errors import OptionError
from lar.trajectories import Report, read_trajectories


def hold_out_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add --hold-out and --split-seed: the same in every command, so that all leave out the same tasks."""
    seed = click.option(
        "--split-seed",
        default=0,
        show_default=True,
        help="The seed of the split: another seed leaves out other tasks.",
    )
    share = click.option(
        "--hold-out",
        type=click.FloatRange(0, 1, max_open=True),
        default=0.0,
        show_default=True,
        help="The share of the tasks to leave out, so that you can evaluate on them.",
    )
    return share(seed(function))


def training_side(corpus: Corpus, hold_out: float, split_seed: int) -> Corpus:
    """The tasks of `corpus` that are not held out."""
    return corpus.split(hold_out, split_seed)[0] if hold_out else corpus


def is_corpus(path: Path | str) -> bool:
    """Whether `path` is a corpus folder and not a file, folder or URL of trajectories."""
    return isinstance(path, Path) and (path / MANIFEST_FILE).is_file()


def check_for_cluster(paths: tuple[Path, ...]) -> None:
    """Raise OptionError for inputs that the nodes of a cluster cannot read: all but corpus folders."""
    if not all(is_corpus(path) for path in paths):
        raise OptionError("--ray needs a corpus folder that all nodes see: lar corpus --ray makes one")


def open_corpus(paths: tuple[Path | str, ...], tokenizer: Any | None, report: Report | None = None) -> Corpus:
    """One corpus folder, or a temporary corpus of all the given trajectories; `report` gets what was read.

    Raises:
        OptionError: corpora are mixed with others, or trajectories come without a tokenizer.
    """
    if any(is_corpus(path) for path in paths):
        if len(paths) > 1:
            raise OptionError("give one corpus folder, or any number of trajectory files, not both")
        return Corpus.load(paths[0])
    if tokenizer is None:
        raise OptionError("trajectories need --tokenizer (a corpus folder has its own)")
    report = Report() if report is None else report
    with progress_bar("tokenizing", unit="trajectories") as progress:
        corpus = Corpus.build(read_trajectories(paths, report=report), tokenizer, progress=progress)
    warn_of(report)
    return corpus


def open_corpora(paths: Sequence[Path | str], tokenizer: Any) -> dict[str, Corpus]:
    """Each path as a corpus of its own, by its name."""
    return {name: open_corpus((path,), tokenizer) for name, path in by_name(paths).items()}


def by_name(paths: Sequence[Path | str]) -> dict[str, Path | str]:
    """The paths by the names of their files; equal names are told apart by a number."""
    named: dict[str, Path | str] = {}
    for path in paths:
        last = Path(path).name
        stem = last.split(".")[0] or last
        named[stem if stem not in named else f"{stem}-{len(named)}"] = path
    return named
