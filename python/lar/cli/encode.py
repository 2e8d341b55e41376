"""`lar encode`: encode base token ids as units."""

from collections.abc import Iterator
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray

from lar.cli.common import EXISTING_PATH, PATH, json_option, print_json


@click.command("encode")
@click.argument("vocabulary", type=EXISTING_PATH)
@click.argument("input_path", metavar="INPUT", type=EXISTING_PATH)
@click.option(
    "-o",
    "--output",
    required=True,
    type=PATH,
    help="The file to write: units as .npy, or one JSON array on each line.",
)
@click.option("--text", is_flag=True, help="Tokenize each line of INPUT, which is text.")
@json_option
def command(vocabulary: Path, input_path: Path, output: Path, text: bool, as_json: bool) -> None:
    """Encode base token ids or text as units.

    INPUT is a .npy array of ids, or a file with one JSON array of ids on each line. In ids, latents are found
    as tokens. With --text they are found in the text, and the units are the ids that an engine reads.

    \b
    Example:
      lar encode vocabulary/ ids.npy -o units.npy
    """
    from lar.cli.ids import read_ids, read_lines, write_results
    from lar.vocabulary.vocabulary import LatentVocabulary

    loaded = LatentVocabulary.load(vocabulary)
    parsed: Iterator[tuple[NDArray[np.uint32], NDArray[np.uint32]]]
    if text:
        parsed = (
            (loaded.tokenizer.encode(line), loaded.encode_text(line)) for line in read_lines(input_path)
        )
    else:
        parsed = ((ids, loaded.encode(ids)) for ids in read_ids(input_path))
    counts = {"base_tokens": 0, "units": 0}

    def encoded() -> Iterator[NDArray[np.uint32]]:
        for ids, units in parsed:
            counts["base_tokens"] += len(ids)
            counts["units"] += len(units)
            yield units

    lists = write_results(encoded(), output)
    if as_json:
        print_json({"output": str(output), "lists": lists, **counts})
    else:
        click.echo(f"{counts['base_tokens']:,} base tokens -> {counts['units']:,} units in {output}")
