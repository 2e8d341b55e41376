"""The options of `export`."""

from dataclasses import dataclass
from typing import TypedDict

from lar.errors import OptionError
from lar.utils.paths import StrPath

FORMS = ("merged", "lora")
DTYPES = ("auto", "float32", "bfloat16", "float16")
GGUF_TYPES = ("auto", "f32", "f16", "bf16", "q8_0")


class ExportKeywords(TypedDict, total=False):
    """The fields of `ExportOptions`, as keywords of `export`."""

    form: str
    decode_only: bool
    dtype: str
    gates: str
    llama_cpp: StrPath | None
    gguf_type: str
    chat_template: StrPath | None


@dataclass(frozen=True)
class ExportOptions:
    """The options of `export`.

    form: "merged", one checkpoint; "lora", the base with the latents' rows, and a plain LoRA in the
        subfolder `adapter`, for engines that serve many adapters over one base.
    decode_only: the tokenizer decodes latents but never encodes them, so prompts keep their base ids.
    dtype: of the written weights; "auto": that of the teacher's checkpoint.
    gates: whether latents that fail the engine gates are refused ("engines") or not ("none").
    llama_cpp: a source tree of llama.cpp, whose converter then writes `model.gguf` too.
    chat_template: a file that replaces the base's template. For example, one that renders tool calls, if
        the base's does not and the student was trained on them.
    gguf_type: of the GGUF's weights; "auto" lets the converter choose.
    """

    form: str = "merged"
    decode_only: bool = False
    dtype: str = "auto"
    gates: str = "engines"
    llama_cpp: StrPath | None = None
    gguf_type: str = "auto"
    chat_template: StrPath | None = None

    def __post_init__(self) -> None:
        for name, known in (("form", FORMS), ("dtype", DTYPES), ("gguf_type", GGUF_TYPES)):
            if getattr(self, name) not in known:
                raise OptionError(f"{name} must be one of {', '.join(known)}, not {getattr(self, name)!r}")
        if self.llama_cpp is not None and self.form != "merged":
            raise OptionError("a GGUF is written from a merged checkpoint: leave --lora or --gguf out")
