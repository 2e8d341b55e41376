"""The flags of `vllm serve` that an export needs; this module imports no torch."""

import json
from pathlib import Path

from lar.serving.export.self_check import ADAPTER_FOLDER

# What vLLM takes for --max-lora-rank, and its default.
_RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)
_DEFAULT_RANK = 16


def lora_flags(export: Path, named: str | Path) -> tuple[str, ...]:
    """The flags that serve the LoRA of an export, whose folder is to be written as `named`.

    vLLM refuses a LoRA whose rank is over 16 without --max-lora-rank.
    """
    content = json.loads((export / ADAPTER_FOLDER / "adapter_config.json").read_text(encoding="utf-8"))
    rank = max([int(content["r"]), *(content.get("rank_pattern") or {}).values()])
    flags = ("--enable-lora", "--lora-modules", f"student={Path(named) / ADAPTER_FOLDER}")
    if rank <= _DEFAULT_RANK:
        return flags
    return *flags, "--max-lora-rank", str(next((limit for limit in _RANKS if limit >= rank), rank))
