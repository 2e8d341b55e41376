"""From a student to a checkpoint that stock engines can serve: they generate latents and return text.

    from lar.serving.export import export
    export("student/", "export/")          # then: vllm serve export/

`tokenizer_files` needs no torch; `export` does, and is imported when first used.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lar.serving.export.checkpoint import export

__all__ = ["export"]


def __getattr__(name: str) -> Any:
    if name != "export":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from lar.serving.export.checkpoint import export

    return export
