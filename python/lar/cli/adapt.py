"""`lar adapt`: make a teacher of a model that did not write the logs."""

import json
import time
from pathlib import Path
from typing import Any

import click

from lar.cli.common import EXISTING_PATH, MODEL, PATH, json_option, print_json, progress_bar
from lar.cli.inputs import hold_out_options, with_split
from lar.cli.next_step import after_adapt, print_next
from lar.cli.outputs import check_output, overwrite_option
from lar.cli.prose import print_prose
from lar.cli.training import (
    chosen_options,
    course,
    device_options,
    needs_train_extra,
    option_flags,
    options_file_option,
    process_group,
    taken,
)
from lar.distillation.options import AdaptOptions
from lar.utils.processes import is_main
from lar.utils.result_files import ADAPTATION_FILE


@click.command("adapt")
@click.argument("corpus", type=EXISTING_PATH)
@click.option("--model", required=True, type=MODEL, help="The folder of the model to fine-tune.")
@click.option("-o", "--output", required=True, type=PATH, help="The folder to write.")
@overwrite_option
@click.option("--keep-adapter", is_flag=True, help="Write a PEFT LoRA folder instead of a merged checkpoint.")
@hold_out_options
@options_file_option
@option_flags(AdaptOptions)
@device_options
@json_option
def command(
    corpus: Path,
    model: Path,
    output: Path,
    overwrite: bool,
    hold_out: float | None,
    split_seed: int | None,
    keep_adapter: bool,
    options_file: Path | None,
    as_json: bool,
    **flags: Any,
) -> None:
    """Fine-tune a plain LoRA on the agent's turns in CORPUS and merge it into a plain checkpoint.

    You need this if another model wrote the logs. The tasks that CORPUS holds out are not learnt. Use the
    result, merged or as an adapter, as the --model of lar score and lar distill. A run that was stopped goes
    on when you start it again. Several processes share a run as in lar distill.

    \b
    Examples:
      lar adapt corpus/ --model Qwen3-8B/ -o teacher/
      lar adapt corpus/ --model Qwen3-8B/ -o adapter/ --keep-adapter --evaluate-steps 100
    """
    needs_train_extra()
    check_output(output, ADAPTATION_FILE, overwrite=overwrite)
    from lar.corpus import Corpus
    from lar.distillation.adapt import adapt

    chosen = chosen_options(AdaptOptions, options_file, flags)
    began = time.perf_counter()
    with process_group(), progress_bar("adapting", unit="steps") as progress:
        conversations = with_split(Corpus.load(corpus), hold_out, split_seed, options_file)
        adapt(
            conversations,
            str(model),
            chosen,
            output,
            merge=not keep_adapter,
            progress=progress,
        )
    if not is_main():
        return
    seconds = time.perf_counter() - began
    record = json.loads((output / ADAPTATION_FILE).read_text(encoding="utf-8"))
    if as_json:
        print_json({"model": str(output), "seconds": round(seconds, 1), **record})
    else:
        print_prose(f"{output}: {taken(record['steps'], progress, seconds)}{course(record)}")
    print_next(*after_adapt(corpus, output), as_json=as_json, label="then")
