"""`lar export`: write a student as a checkpoint for unmodified engines."""

import time
from pathlib import Path

import click

from lar.cli.common import (
    EXISTING_FILE,
    EXISTING_PATH,
    MODEL,
    PATH,
    json_option,
    print_json,
    progress_bar,
)
from lar.cli.outputs import check_output, overwrite_option
from lar.cli.prose import print_prose
from lar.cli.training import needs_train_extra
from lar.serving.export.options import DTYPES, GATES, GGUF_TYPES, ExportOptions
from lar.utils.result_files import EXPORT_FILE


@click.command("export")
@click.argument("student", type=EXISTING_PATH)
@click.option("-o", "--output", required=True, type=PATH, help="The folder to write.")
@overwrite_option
@click.option(
    "--model",
    type=MODEL,
    help="The teacher's folder.  [default: the folder that the student's adapter_config.json names]",
)
@click.option(
    "--lora",
    is_flag=True,
    help="Write the base with the latents' rows and a LoRA beside it, instead of a merged checkpoint.",
)
@click.option(
    "--decode-only",
    is_flag=True,
    help="Write a tokenizer that decodes latents but never encodes them: prompts stay as they were.",
)
@click.option(
    "--dtype",
    type=click.Choice(DTYPES),
    default="auto",
    show_default=True,
    help="The type of the weights to write; auto keeps the teacher's.",
)
@click.option(
    "--gates",
    type=click.Choice(GATES),
    default="engines",
    show_default=True,
    help="Whether to refuse latents that engines handle wrongly.",
)
@click.option(
    "--gguf",
    "llama_cpp",
    type=EXISTING_PATH,
    metavar="LLAMA_CPP",
    help="Also write a GGUF, with the converter of this source tree of llama.cpp.",
)
@click.option(
    "--chat-template", type=EXISTING_FILE, help="A chat template to write instead of the teacher's."
)
@click.option(
    "--gguf-type",
    type=click.Choice(GGUF_TYPES),
    default="auto",
    show_default=True,
    help="The type of the GGUF's weights; auto lets the converter choose.",
)
@json_option
def command(
    student: Path,
    output: Path,
    overwrite: bool,
    model: Path | None,
    lora: bool,
    decode_only: bool,
    dtype: str,
    gates: str,
    llama_cpp: Path | None,
    gguf_type: str,
    chat_template: Path | None,
    as_json: bool,
) -> None:
    """Write a student as a plain checkpoint that any engine serves without a plugin.

    LoRA is merged into the weights. Each latent becomes a row of the two embedding matrices and a token of
    the tokenizer. A fresh process reads the folder back and compares it with the student before it gets its
    name.

    \b
    Examples:
      lar export student/ -o export/ && vllm serve export/
      lar export student/ -o export/ --lora
      lar export student/ -o export/ --dtype bfloat16 --gguf llama.cpp/ && llama-server -m export/model.gguf
    """
    needs_train_extra()
    check_output(output, EXPORT_FILE, overwrite=overwrite)
    options = ExportOptions(
        form="lora" if lora else "merged",
        decode_only=decode_only,
        dtype=dtype,
        gates=gates,
        llama_cpp=llama_cpp,
        gguf_type=gguf_type,
        chat_template=chat_template,
    )
    from lar.cli.next_step import after_export, print_next
    from lar.serving.export.checkpoint import export

    began = time.perf_counter()
    with progress_bar("exporting", unit="steps") as progress:
        done = export(student, output, options, model=model, progress=progress)
    seconds = time.perf_counter() - began
    if as_json:
        print_json({"export": str(output), "seconds": round(seconds, 1), **done.record, "check": done.report})
        return
    print_prose(
        f"{output}: {done.record['latents']} latents from id {done.record['first_latent']}, {seconds:.1f} s"
    )
    print_prose("self-check: " + ", ".join(f"{name} {value}" for name, value in done.report.items()))
    print_next(*after_export(output, lora=lora, gguf=llama_cpp is not None), as_json=as_json)
