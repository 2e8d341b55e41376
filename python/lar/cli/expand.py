"""`lar expand`: expand units into base token ids, exactly."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lar.cli.common import EXISTING_OR_PIPE, EXISTING_PATH, PATH, json_option, print_json
from lar.cli.outputs import overwrite_option

if TYPE_CHECKING:
    from lar.cli.ids import Counted
    from lar.vocabulary.vocabulary import LatentVocabulary


@click.command("expand")
@click.argument("vocabulary", type=EXISTING_PATH)
@click.argument("input_path", metavar="INPUT", type=EXISTING_OR_PIPE)
@click.option(
    "-o",
    "--output",
    required=True,
    type=PATH,
    help="Where the ids go: a file .npy or .jsonl, or - for standard output (as .jsonl). With --text, a file "
    ".txt or .jsonl, or - (as .txt).",
)
@overwrite_option
@click.option("--text", is_flag=True, help="Write text instead of ids.")
@json_option
def command(
    vocabulary: Path, input_path: Path, output: Path, overwrite: bool, text: bool, as_json: bool
) -> None:
    """Expand units into the base token ids that they stand for: the exact inverse of lar encode.

    INPUT is a file of units, or - for standard input. With --text, special tokens are written as their text.

    \b
    Formats:
      .npy      one list of ids, as an array of integers
      .jsonl    many lists, one JSON array on each line: [1, 2, 3];
                with --text one JSON string on each line
      .txt      with --text, plain lines, as lar encode --text reads them;
                a text with a line break in it is refused

    \b
    Examples:
      lar expand vocabulary/ units.npy -o ids.npy
      lar expand vocabulary/ units.jsonl --text -o lines.txt
      echo 'a text' | lar encode vocabulary/ - --text -o - | lar expand vocabulary/ - --text -o -
    """
    from lar.cli.ids import IDS, TEXTS, Counted, check_results, each_list, print_summary, write_results
    from lar.vocabulary.vocabulary import LatentVocabulary

    check_results(input_path, output, TEXTS if text else IDS, overwrite=overwrite, as_json=as_json)
    loaded = LatentVocabulary.load(vocabulary)
    broken = Counted()
    lists = write_results(
        _texts(loaded, input_path, broken) if text else each_list(loaded.expand, input_path), output
    )
    broken.warn("texts have bytes that are no characters, written as U+FFFD")
    if as_json:
        print_json({"output": str(output), "lists": lists})
    else:
        print_summary(f"{lists:,} lists", output)


def _texts(vocabulary: "LatentVocabulary", path: Path, broken: "Counted") -> Iterator[str]:
    """The text of each list of units; `broken` counts those that end inside a character."""
    from lar.cli.ids import each_list, text_of

    for found in each_list(lambda units: text_of(vocabulary, units), path):
        text = found.decode(errors="replace")
        broken(text.encode() != found)
        yield text
