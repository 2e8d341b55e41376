"""Open what a command was given: corpus folders, or trajectory files of any format."""

from collections.abc import Callable, Iterable, Sequence
from itertools import chain, count
from pathlib import Path
from typing import Any

import click

from lar.cli.common import SHARE, progress_bar
from lar.cli.fields import NO_FIELDS, Fields
from lar.cli.log_report import warn_of
from lar.cli.reading import ReadingBar
from lar.corpus import Corpus
from lar.corpus.manifest import TOKENIZER_FOLDER, Manifest
from lar.corpus.selection import Split
from lar.distillation.option_files import recorded_split
from lar.errors import OptionError
from lar.tokenizer.tokenizer import Tokenizer
from lar.trajectories import Report, read_trajectories
from lar.trajectories.inputs.files import STDIN, STDIN_NAME
from lar.utils.result_files import CORPUS_FILE


def hold_out_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add --hold-out and --split-seed, for a corpus or logs without a stored split (see `with_split`)."""
    seed = click.option(
        "--split-seed",
        type=int,
        help="The seed of --hold-out: another seed leaves out other tasks.  [default: 0]",
    )
    share = click.option(
        "--hold-out",
        type=SHARE,
        help="The share of the tasks to leave out, where the corpus has no split of its own. Better give it "
        "to lar corpus: all commands obey the split that a corpus stores.",
    )
    return share(seed(function))


def with_split(
    corpus: Corpus, hold_out: float | None, split_seed: int | None, options_file: Path | None = None
) -> Corpus:
    """The corpus with the split that it stores, else that of the flags, else that of a run's record.

    Raises:
        OptionError: the flags, or without flags the record, contradict the stored split.
    """
    if split_seed is not None and hold_out is None:
        raise OptionError("--split-seed needs --hold-out")
    asked = None if hold_out is None else Split(hold_out, split_seed or 0)
    stored = corpus.own_split
    if asked is None and options_file is not None:
        recorded, asked = recorded_split(options_file), stored
        if recorded is not None:
            asked = recorded[0] or Split(0)
    if stored is None:
        return corpus if asked is None else corpus.with_split(asked.hold_out, asked.seed)
    if asked not in (None, stored):
        source, way_out = "--hold-out", "leave it out, or store another split with lar corpus --hold-out"
        if hold_out is None:
            source = str(options_file)
            way_out = f"--hold-out {stored.hold_out:g} --split-seed {stored.seed} keeps the corpus's"
        raise OptionError(f"{source} ({asked}) contradicts the split of {corpus.path} ({stored}): {way_out}")
    return corpus


def is_corpus(path: Path | str) -> bool:
    """Whether `path` is a corpus folder and not a file, folder or URL of trajectories."""
    return isinstance(path, Path) and (path / CORPUS_FILE).is_file()


def check_tokenizer(paths: Iterable[Path | str], tokenizer: Path | None) -> None:
    """Raise OptionError if --tokenizer is another one than that of a corpus folder among the paths."""
    for path in filter(is_corpus, paths):
        if tokenizer is None:
            return
        own, given = Manifest.read(Path(path)).tokenizer_fingerprint, Tokenizer.load(tokenizer).fingerprint
        if own != given:
            raise OptionError(
                f"--tokenizer {tokenizer} ({given[:12]}) is another than that of the corpus ({own[:12]}),"
                f" which lies in {Path(path) / TOKENIZER_FOLDER}: leave it out, or build a corpus with it"
            )


def check_for_cluster(paths: tuple[Path | str, ...]) -> None:
    """Raise OptionError for inputs that the nodes of a cluster cannot read: all but corpus folders."""
    if not all(is_corpus(path) for path in paths):
        raise OptionError("--ray needs a corpus folder that all nodes see: lar corpus --ray makes one")


def check_fields(paths: Iterable[Path | str], fields: Fields) -> None:
    """Raise OptionError if fields of logs are named and there are only corpus folders."""
    if fields.flags and all(map(is_corpus, paths)):
        raise OptionError(f"{fields.flags[0]} is for logs: a corpus has its tasks and outcomes")


def open_corpus(
    paths: tuple[Path | str, ...], tokenizer: Any | None, report: Report, fields: Fields = NO_FIELDS
) -> Corpus:
    """One corpus folder, or a temporary corpus of all the given trajectories; `report` gets what was read.

    `fields` are those of trajectories; see `check_fields`. What the chat template refuses is left out of a
    temporary corpus, with a warning.

    Raises:
        OptionError: corpora are mixed with others, or trajectories come without a tokenizer.
    """
    if any(is_corpus(path) for path in paths):
        if len(paths) > 1:
            raise OptionError("give one corpus folder, or any number of trajectory files, not both")
        return Corpus.load(paths[0])
    if tokenizer is None:
        check_exist(paths)
        raise OptionError(
            f"{paths[0]}: no corpus folder (no {CORPUS_FILE}), and logs need --tokenizer MODEL, the folder of"
            " your model"
        )
    with progress_bar("tokenizing") as bar:
        reading = ReadingBar(bar, paths, report)
        logs = read_trajectories(paths, **fields._asdict(), report=report, progress=reading.read)
        corpus = Corpus.build(logs, tokenizer, skip_refused=True, progress=reading.built)
    warn_of(report)
    return corpus


def check_exist(paths: Iterable[Path | str]) -> None:
    """Raise OptionError for a path that is not there; URLs, patterns and pipes are no such paths."""
    for path in paths:
        if isinstance(path, Path) and not path.exists() and str(path) not in STDIN and "*" not in str(path):
            raise OptionError(f"{path}: no such file or folder")


def open_corpora(
    paths: Sequence[Path | str], tokenizer: Any, report: Report, fields: Fields = NO_FIELDS
) -> dict[str, Corpus]:
    """Each path as a corpus of its own, by its name; `report` gets what was read of all."""
    corpora = {}
    for name, path in by_name(paths).items():
        own = Report()
        corpora[name] = open_corpus((path,), tokenizer, own, fields)
        report.merge(own)
    return corpora


def by_name(paths: Sequence[Path | str]) -> dict[str, Path | str]:
    """The paths, each by the name of its file; of equal names, the later ones get a number.

    >>> by_name(["x/a.jsonl", "y/a.jsonl"])
    {'a': 'x/a.jsonl', 'a-2': 'y/a.jsonl'}
    """
    named: dict[str, Path | str] = {}
    for path in paths:
        last = STDIN_NAME if str(path) in STDIN else Path(path).name
        if last in ("", ".."):  # the working directory, or a folder above it
            last = Path(path).resolve().name or "logs"
        stem = last.split(".")[0] or last
        names = chain([stem], (f"{stem}-{number}" for number in count(2)))
        named[next(name for name in names if name not in named)] = path
    return named
