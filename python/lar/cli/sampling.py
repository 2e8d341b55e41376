"""What `lar estimate` and `lar report` share: their options, and logs of which only a sample is tokenized."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lar.cli.common import TOKENIZER, progress_bar
from lar.cli.fields import Fields

if TYPE_CHECKING:
    from lar.evaluation.sample import Sample
    from lar.trajectories import Report

tokenizer_option = click.option(
    "--tokenizer", type=TOKENIZER, help="The model's folder, for logs; a corpus folder has its own."
)


def most_tokens_option(default: int) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Add --most-tokens."""
    return click.option(
        "--most-tokens",
        default=default,
        show_default=True,
        type=click.IntRange(1),
        help="Take a sample of about so many tokens, of whole tasks, where there are more.",
    )


def sample_of(
    paths: Sequence[Path | str],
    tokenizer: Path | None,
    fields: Fields,
    most_tokens: int,
    report: "Report",
) -> "Sample":
    """A sample of the training side of a corpus folder, or of logs, which are all read; `report` gets that.

    Raises:
        OptionError: corpora are mixed with others, logs come without a tokenizer, or a corpus comes with
            options that name fields of logs, or another tokenizer.
    """
    from lar.cli.inputs import check_fields, check_tokenizer, is_corpus, open_corpus
    from lar.cli.log_report import warn_of
    from lar.cli.reading import ReadingBar
    from lar.evaluation.sample import Sample
    from lar.tokenizer.tokenizer import Tokenizer
    from lar.trajectories import read_trajectories

    if tokenizer is None or any(map(is_corpus, paths)):
        check_fields(paths, fields)
        check_tokenizer(paths, tokenizer)
        return Sample.of(open_corpus(tuple(paths), None, report), most_tokens)
    loaded = Tokenizer.load(tokenizer)
    with progress_bar("reading") as bar:
        reading = ReadingBar(bar, paths, report)
        logs = read_trajectories(paths, **fields._asdict(), report=report, progress=reading.read)
        sample = Sample.of_logs(logs, loaded, most_tokens, progress=reading.built)
    warn_of(report)
    return sample
