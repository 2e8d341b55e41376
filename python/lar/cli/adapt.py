"""`lar adapt`: a teacher out of a model that did not write the logs."""

import time
from pathlib import Path
from typing import Any

import click

from lar.cli.common import EXISTING_PATH, PATH, json_option, print_json, progress_bar
from lar.cli.inputs import hold_out_options, training_side
from lar.cli.training import (
    device_options,
    needs_train_extra,
    option_flags,
    process_group,
    sharding_option,
)
from lar.distillation.options import AdaptOptions
from lar.processes import is_main


@click.command("adapt")
@click.argument("corpus", type=EXISTING_PATH)
@click.option("--model", required=True, type=EXISTING_PATH, help="The checkpoint folder to start from.")
@click.option("-o", "--output", required=True, type=PATH, help="The checkpoint folder to write.")
@hold_out_options
@option_flags(AdaptOptions)
@sharding_option
@device_options
@json_option
def command(
    corpus: Path,
    model: Path,
    output: Path,
    hold_out: float,
    split_seed: int,
    as_json: bool,
    **options: Any,
) -> None:
    """Fine-tune a plain LoRA on the agent's turns in CORPUS and merge it into a plain checkpoint.

    Needed where another model wrote the logs: the result is the teacher to score and distil with. A run that
    was stopped goes on when it is started again. Several processes share a run as in `lar distill`.

    \b
    Example:
      lar adapt corpus/ --model Qwen3-8B/ -o teacher/
    """
    needs_train_extra()
    from lar.corpus import Corpus
    from lar.distillation.adaptation import adapt

    chosen = AdaptOptions(**options)
    began = time.perf_counter()
    with process_group(), progress_bar("adapting", unit="steps") as progress:
        train = training_side(Corpus.load(corpus), hold_out, split_seed)
        adapt(str(model), train, chosen, output, progress=progress)
    if not is_main():
        return
    seconds = round(time.perf_counter() - began, 1)
    if as_json:
        print_json({"model": str(output), "seconds": seconds, "options": chosen.as_json()})
    else:
        click.echo(f"{output} in {seconds} s")
