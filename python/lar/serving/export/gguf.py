"""A GGUF of an export, by llama.cpp's converter."""

import subprocess
import sys
from pathlib import Path

from lar.errors import ExportError, OptionError

GGUF_FILE = "model.gguf"
_CONVERTER = "convert_hf_to_gguf.py"


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
