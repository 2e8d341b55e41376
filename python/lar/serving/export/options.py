"""The options of `export`."""

from dataclasses import dataclass
from typing import TypedDict

from lar.errors import OptionError
from lar.utils.paths import StrPath

FORMS = ("merged", "lora")
DTYPES = ("auto", "float32", "bfloat16", "float16")
GATES = ("engines", "none")
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
    """The form in which a student is written.

    form: "merged", one checkpoint; "lora", the base with the latents' rows in it and a plain LoRA in the
        folder `adapter` beside, for engines that serve many adapters over one base.
    decode_only: the tokenizer decodes latents but never encodes them, so prompts stay unchanged. It is always
        so for a student that was distilled with `decode_only`.
    dtype: of the weights written; "auto": as the teacher's checkpoint has them.
    gates: whether latents that unmodified engines would handle wrongly are refused ("engines"), or not
        ("none").
    llama_cpp: a source tree of llama.cpp, whose own converter then writes `model.gguf` as well.
    chat_template: a file that replaces the base's template: for example one that writes tool calls, if the
        base's has none and the student was trained on them.
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
        choices = {"form": FORMS, "dtype": DTYPES, "gates": GATES, "gguf_type": GGUF_TYPES}
        for name, known in choices.items():
            if getattr(self, name) not in known:
                raise OptionError(f"{name} must be one of {', '.join(known)}, not {getattr(self, name)!r}")
        if self.llama_cpp is not None and self.form != "merged":
            raise OptionError("a GGUF is written from a merged checkpoint: leave --lora or --gguf out")
        if self.llama_cpp is None and self.gguf_type != "auto":
            raise OptionError("--gguf-type (gguf_type) needs --gguf (llama_cpp), or no GGUF is written")
