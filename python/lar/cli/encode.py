"""`lar encode`: encode base token ids or text as units."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lar.cli.common import EXISTING_OR_PIPE, EXISTING_PATH, PATH, json_option, print_json
from lar.cli.outputs import overwrite_option

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from lar.cli.ids import Counted
    from lar.vocabulary.vocabulary import LatentVocabulary

    Pairs = Iterator[tuple[NDArray[np.uint32], NDArray[np.uint32]]]


@click.command("encode")
@click.argument("vocabulary", type=EXISTING_PATH)
@click.argument("input_path", metavar="INPUT", type=EXISTING_OR_PIPE)
@click.option(
    "-o",
    "--output",
    required=True,
    type=PATH,
    help="Where the units go: a file .npy or .jsonl, or - for standard output (as .jsonl).",
)
@overwrite_option
@click.option("--text", is_flag=True, help="INPUT is UTF-8 text; each line is encoded by itself.")
@json_option
def command(
    vocabulary: Path, input_path: Path, output: Path, overwrite: bool, text: bool, as_json: bool
) -> None:
    """Encode base token ids or text as units.

    INPUT is a file, or - for standard input. In ids, latents are found as tokens. With --text they are found
    in the text, and the units are the ids that an engine reads.

    \b
    Formats:
      .npy      one list of ids, as an array of integers
      .jsonl    many lists, one JSON array on each line: [1, 2, 3]
      --text    plain lines; lar expand --text gives them back

    A line ends at its line feed. The carriage return of Windows is part of the text, an empty line is an
    empty list, and a last line without a line feed counts.

    \b
    Examples:
      lar encode vocabulary/ ids.npy -o units.npy
      lar encode vocabulary/ ids.jsonl -o units.jsonl
      echo 'a text' | lar encode vocabulary/ - --text -o - | lar expand vocabulary/ - --text -o -
    """
    from lar.cli.ids import IDS, Counted, check_results, print_summary, write_results
    from lar.vocabulary.vocabulary import LatentVocabulary

    check_results(input_path, output, IDS, overwrite=overwrite, as_json=as_json)
    loaded = LatentVocabulary.load(vocabulary)
    changed = Counted()
    parsed = _of_text(loaded, input_path, changed) if text else _of_ids(loaded, input_path)
    counts = {"base_tokens": 0, "units": 0}

    def encoded() -> "Iterator[NDArray[np.uint32]]":
        for ids, units in parsed:
            counts["base_tokens"] += len(ids)
            counts["units"] += len(units)
            yield units

    lists = write_results(encoded(), output)
    changed.warn("lines come back otherwise, since the tokenizer changes their text")
    if as_json:
        print_json({"output": str(output), "lists": lists, **counts})
    else:
        print_summary(f"{counts['base_tokens']:,} base tokens -> {counts['units']:,} units", output)


def _of_ids(vocabulary: "LatentVocabulary", path: Path) -> "Pairs":
    from lar.cli.ids import each_list

    hint = "" if path.suffix == ".npy" else "; lines of text need --text"
    return each_list(lambda ids: (ids, vocabulary.encode(ids)), path, hint)


def _of_text(vocabulary: "LatentVocabulary", path: Path, changed: "Counted") -> "Pairs":
    """The ids and the units of each line; `changed` counts the lines that the tokenizer changes."""
    from lar.cli.ids import read_lines, text_of

    for line in read_lines(path):
        units = vocabulary.encode_text(line)
        changed(text_of(vocabulary, units) != line.encode())
        yield vocabulary.tokenizer.encode(line), units
