"""A GGUF of an export, by llama.cpp's converter."""

import mmap
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from lar.errors import ExportError, OptionError

GGUF_FILE = "model.gguf"
_CONVERTER = "convert_hf_to_gguf.py"
_HEAD = b"output.weight"
# How a GGUF describes a matrix: the length of its name, the name, the number of its dimensions, and these.
_NAME = struct.pack("<Q", len(_HEAD)) + _HEAD
_SHAPE = struct.Struct("<IQQ")


def check_converter(llama_cpp: Path) -> None:
    """Raise OptionError unless the folder is a source tree of llama.cpp; call it before the work."""
    if not (llama_cpp / _CONVERTER).is_file():
        raise OptionError(f"{llama_cpp}: has no {_CONVERTER} (--gguf takes llama.cpp's source folder)")


def write_gguf(folder: Path, name: str, llama_cpp: Path, gguf_type: str) -> None:
    """Write `model.gguf` into the export at `folder`, a temporary one; `name` is that of the model inside.

    Raises:
        ExportError: the converter failed; the message has its last line.
    """
    command = [sys.executable, str(llama_cpp / _CONVERTER), str(folder), "--outtype", gguf_type]
    command += ["--model-name", name]  # else the converter takes the folder's
    done = subprocess.run(
        [*command, "--outfile", str(folder / GGUF_FILE)], capture_output=True, text=True, check=False
    )
    if done.returncode != 0 or not (folder / GGUF_FILE).is_file():
        lines = [line for line in (done.stderr or done.stdout).splitlines() if line.strip()]
        reason = lines[-1].strip() if lines else f"exit code {done.returncode}"
        if "BPE pre-tokenizer was not recognized" in done.stderr:
            reason = (
                "llama.cpp does not support this tokenizer, or a latent occurs in the text by which it "
                "identifies tokenizers (mine with the engine gates)"
            )
        raise ExportError(f"{_CONVERTER}: {reason}")


def check_head(folder: Path, rows: int) -> None:
    """Raise ExportError unless the GGUF in an export's folder has an output matrix of at least `rows` rows.

    The converter leaves it out for families whose logits llama.cpp computes with the embedding (Gemma), where
    a latent has another row. The export's own files are right.
    """
    with (folder / GGUF_FILE).open("rb") as file:
        found = next(_head_rows(file.fileno()), 0)
    if found < rows:
        raise ExportError(
            f"{_CONVERTER}: its {GGUF_FILE} has {found or 'no'} rows of the output matrix, and the export has"
            f" {rows} ids: llama.cpp would compute the latents' logits with other rows than the student; for"
            " other engines, leave --gguf (llama_cpp) out"
        )


def _head_rows(file: int) -> Iterator[int]:
    """Yield the rows of each matrix that may be the head; a token of the same text has no such shape."""
    with mmap.mmap(file, 0, access=mmap.ACCESS_READ) as content:
        place = content.find(_NAME)
        while 0 <= place <= len(content) - len(_NAME) - _SHAPE.size:
            dimensions, width, rows = _SHAPE.unpack_from(content, place + len(_NAME))
            if dimensions == 2 and 0 < width < 1 << 32 and rows < 1 << 32:
                yield rows
            place = content.find(_NAME, place + 1)
