"""`lar expand`: expand units into base token ids, exactly."""

from pathlib import Path

import click

from lar.cli.common import EXISTING_PATH, PATH, json_option, print_json


@click.command("expand")
@click.argument("vocabulary", type=EXISTING_PATH)
@click.argument("input_path", metavar="INPUT", type=EXISTING_PATH)
@click.option(
    "-o",
    "--output",
    required=True,
    type=PATH,
    help="The file to write: ids as .npy, or one JSON array on each line.",
)
@click.option("--text", is_flag=True, help="Write text instead of ids, one JSON string on each line.")
@json_option
def command(vocabulary: Path, input_path: Path, output: Path, text: bool, as_json: bool) -> None:
    """Expand units into the base token ids that they stand for: the exact inverse of lar encode.

    INPUT is a .npy array of units, or a file with one JSON array of units on each line.

    \b
    Example:
      lar expand vocabulary/ units.npy -o ids.npy
    """
    from lar.cli.ids import read_ids, write_results
    from lar.vocabulary.vocabulary import LatentVocabulary

    loaded = LatentVocabulary.load(vocabulary)
    units = read_ids(input_path)
    # That space is the tokenizer's: no text has it.
    added = " " if text and loaded.tokenizer.puts_space_before else ""
    results = (loaded.text(ids).removeprefix(added) if text else loaded.expand(ids) for ids in units)
    lists = write_results(results, output)
    if as_json:
        print_json({"output": str(output), "lists": lists})
    else:
        click.echo(f"{lists:,} lists in {output}")
