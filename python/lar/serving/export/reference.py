"""The reference that an export is compared with: the student's logits and rows before the export."""

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from lar.distillation.student import Student
from lar.vocabulary.latent import Latent
from lar.vocabulary.vocabulary import LatentVocabulary

REFERENCE_FILE = "reference.safetensors"
CHECKED_LATENTS = 128  # as inputs of the sequences; all are among the outputs
_LATENTS_A_SEQUENCE = 16
_TOKENS_A_LATENT = 8
_BASE_COLUMNS = 1024
_TEXT = """Thought: The order has not been sent yet, so its address can still be changed.
<tool_call>
{"name": "change_address", "arguments": {"order": "W4817", "street": "12 Long Lane", "city": "Oslo"}}
</tool_call>
The address was changed. Is there anything else that I can do for you today?
def mean(values: list[float]) -> float:
    return sum(values) / len(values)
"""


@torch.no_grad()
def write_reference(student: Student, file: Path, dtype: torch.dtype) -> None:
    """Write `ids` (n, length) and the student's logits at them to `file`.

    `columns` (c) are the ids compared: every latent, the first tokens of their segments and base tokens
    spread evenly; `logits` is float32 (n, length, c). `output_rows` (K, width) are the latents' rows in
    `dtype`, as the export should hold them; absent without latents.
    """
    ids = _sequences(student.vocabulary)
    columns = _columns(student.vocabulary)
    logits = torch.cat([student(row[None].to(student.device)).logits[..., columns].float() for row in ids])
    tensors: dict[str, Any] = {"ids": ids, "columns": columns, "logits": logits.cpu().contiguous()}
    if student.rows is not None:
        tensors["output_rows"] = student.rows.output.detach().cpu().to(dtype).contiguous()
    save_file(tensors, file)


def _sequences(vocabulary: LatentVocabulary) -> Tensor:
    """Sequences of latents, each followed by the first base tokens of its segment; int64 (n, length)."""
    step = max(1, len(vocabulary) // CHECKED_LATENTS)
    units = [unit for latent in vocabulary.latents[::step] for unit in _piece(latent)]
    length = _LATENTS_A_SEQUENCE * (1 + _TOKENS_A_LATENT)
    if not units:  # a control; ids in a row would be of rare tokens, at which rounding changes much
        units = vocabulary.tokenizer.encode(_TEXT).tolist()
    length = min(length, len(units))
    units += units[: -len(units) % length]  # the last sequence is filled up from the beginning
    return torch.tensor(units).view(-1, length)


def _piece(latent: Latent) -> list[int]:
    return [latent.id, *latent.tokens[:_TOKENS_A_LATENT]]


def _columns(vocabulary: LatentVocabulary) -> Tensor:
    """The ids whose logits are compared; int64 (c), ascending."""
    tokens = vocabulary.base_size
    spread = torch.linspace(0, tokens - 1, min(tokens, _BASE_COLUMNS)).long()
    first = torch.from_numpy(vocabulary.first_tokens.astype("int64"))
    latents = torch.arange(tokens, tokens + len(vocabulary))
    columns: Tensor = torch.unique(torch.cat([spread, first, latents]))
    return columns
