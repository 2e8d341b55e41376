"""`lar distill`: teach a model to use a latent vocabulary."""

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from lar.cli.common import EXISTING_PATH, PATH, Bar, json_option, note, print_json, progress_bar
from lar.cli.inputs import hold_out_options, with_split
from lar.cli.next_step import after_distill, print_next
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
    teacher_option,
)
from lar.distillation.options import DistillOptions
from lar.errors import OptionError
from lar.utils.processes import is_main
from lar.utils.result_files import STUDENT_FILE
from lar.utils.words import counted


@click.command("distill")
@click.argument("corpus", type=EXISTING_PATH)
@teacher_option
@click.option(
    "--vocabulary", type=EXISTING_PATH, help="The vocabulary's folder; needed unless the run is a --control."
)
@click.option("-o", "--output", required=True, type=PATH, help="The student folder to write.")
@overwrite_option
@click.option(
    "--from",
    "start_from",
    type=EXISTING_PATH,
    help="Start from an earlier student of the same --model: its adapter, and its rows of kept latents.",
)
@click.option(
    "--control",
    is_flag=True,
    help="Train a control: the same data and steps, without latents, by cross-entropy (--loss sft).",
)
@hold_out_options
@options_file_option
@option_flags(DistillOptions)
@device_options
@json_option
def command(
    corpus: Path,
    model: Path,
    vocabulary: Path | None,
    output: Path,
    overwrite: bool,
    start_from: Path | None,
    hold_out: float | None,
    split_seed: int | None,
    options_file: Path | None,
    as_json: bool,
    **flags: Any,
) -> None:
    """Train a student that writes latents: LoRA and new rows on the frozen MODEL.

    It learns from the agent's text, or with --loss marginal from MODEL itself as the teacher.
    Always distil a control too, and compare the two. The tasks that CORPUS holds out are not learnt. A run
    that was stopped goes on when you start it again.
    After lar mine --update, --from starts where the earlier student ended.
    To use several GPUs, start the command with accelerate launch or torchrun, one process for each GPU.

    \b
    Examples:
      lar distill corpus/ --model teacher/ --vocabulary vocabulary/ -o student/
      lar distill corpus/ --model teacher/ --control --options student/distillation.json -o control/
      accelerate launch --multi-gpu --num-processes 8 -m lar distill corpus/ --model teacher/ \\
        --vocabulary vocabulary/ --sharding full -o student/
      lar distill corpus/ --model teacher/ --vocabulary vocabulary/ -o student/ --options options.yaml \\
        --evaluate-steps 100 --patience 3
      lar distill new-corpus/ --model teacher/ --vocabulary updated/ --from student/ -o new-student/
    """
    needs_train_extra()
    chosen = chosen_options(DistillOptions, options_file, flags)
    if vocabulary is not None and chosen.control and not flags["control"]:
        note(f"{options_file} is of a control; with --vocabulary a student is trained")
        chosen = replace(chosen, control=False)
    if vocabulary is None and not chosen.control:
        raise OptionError("--vocabulary is needed, unless the run is a --control")
    given = click.get_current_context().get_parameter_source("loss") is ParameterSource.COMMANDLINE
    if chosen.control and given and chosen.loss != "sft":
        raise OptionError("a control learns by plain cross-entropy: leave --loss out")
    check_output(output, STUDENT_FILE, overwrite=overwrite)
    from lar.corpus import Corpus
    from lar.distillation.distill import distill
    from lar.vocabulary.vocabulary import LatentVocabulary

    latents = None if vocabulary is None or chosen.control else LatentVocabulary.load(vocabulary)
    began = time.perf_counter()
    with process_group(), progress_bar("distilling", unit="steps") as progress:
        conversations = with_split(Corpus.load(corpus), hold_out, split_seed, options_file)
        student = distill(
            conversations,
            str(model),
            latents,
            chosen,
            output,
            start_from=start_from,
            progress=progress,
        )
    if is_main():
        _report(student.record, output, progress, time.perf_counter() - began, as_json)
        steps = after_distill(corpus, model, output, control=chosen.control)
        print_next(*steps, as_json=as_json, label="then")


def _report(record: dict[str, Any], output: Path, bar: Bar, seconds: float, as_json: bool) -> None:
    if as_json:
        print_json({"student": str(output), "seconds": round(seconds, 1), **record})
        return
    earlier = record["start"].get("from")
    if earlier is not None:
        print_prose(
            f"started from {earlier['student']}: "
            f"{counted(earlier['kept_rows'], 'latent keeps its row', 'latents keep their rows')}, "
            f"{counted(earlier['new_rows'], 'is new', 'are new')}"
        )
    print_prose(f"{output}: {taken(record['steps'], bar, seconds)}{course(record)}")
